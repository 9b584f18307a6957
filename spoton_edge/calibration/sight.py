"""What a camera's plane shows: pixels of its picture, where the camera hangs."""

from __future__ import annotations

import numpy as np

from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import F8


def floor_middle(plane: GroundPlane) -> F8:
    """The middle of the picture's middle column as far as it shows floor."""
    width, height = plane.image_size
    column = np.column_stack([np.full(64, width / 2), np.linspace(0, height - 1, 64)])
    seen = np.isfinite(plane.to_ground(column)).all(axis=1)
    return np.array([width / 2, float(np.median(column[seen, 1])) if seen.any() else height - 1.0])


def grid_of(plane: GroundPlane, steps: int) -> F8:
    """(steps^2, 2) pixels evenly over the picture."""
    width, height = plane.image_size
    u, v = np.meshgrid(np.linspace(0, width - 1, steps), np.linspace(0, height - 1, steps))
    return np.column_stack([u.ravel(), v.ravel()])


def camera_centre(plane: GroundPlane) -> F8 | None:
    """(3,) m, where the camera hangs; None where the homography does not tell."""
    if not plane.has_vertical:
        return None
    m = plane.projection[:, :3]
    if np.linalg.cond(m) > 1e12:
        return None
    return np.asarray(-np.linalg.solve(m, plane.projection[:, 3]))


def camera_height_m(plane: GroundPlane) -> float | None:
    """How high above the floor the camera hangs; None where the homography does not tell."""
    centre = camera_centre(plane)
    return None if centre is None else abs(float(centre[2]))
