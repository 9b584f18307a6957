"""From a camera's `ground` section to its `GroundPlane`, whichever of the ways it is written in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from spoton_edge.calibration.fit import homography_of
from spoton_edge.config import CameraGround, CameraLens, CameraPose
from spoton_edge.ground_plane import GroundPlane, homography_from_projection
from spoton_edge.lens import Lens
from spoton_edge.types import F8


class PlaneError(ValueError):
    """A calibration that gives no plane for this picture; the text says what it is and how to mend it."""


def ground_plane(
    ground: CameraGround, picture: tuple[int, int] | None, region: Sequence[Sequence[float]] | None = None
) -> GroundPlane:
    """The plane in pixels of the picture (width, height); None: a source that does not tell its size beforehand.

    A calibration made on another size is scaled to the picture's if the shape is the same. The region is in the
    calibration's pixels. Raises `PlaneError` where sizes contradict or the numbers give no plane.
    """
    size = ground.image_size or picture
    if size is None:
        raise PlaneError("image_size is needed for a live source; give [width, height] of its picture")
    scale = np.ones(2)
    if picture is not None and picture != size:
        # One pixel of rounding on either side is no other shape.
        if abs(size[0] * picture[1] - size[1] * picture[0]) > max(*size, *picture):
            raise PlaneError(
                f"image_size is {list(size)} and the camera's picture is {list(picture)}, another shape: "
                "this calibration is of another picture; calibrate this one"
            )
        scale = np.divide(picture, size)
    try:
        lens = lens_of(ground)
        projection = projection_of(ground)
        if ground.points is not None:
            homography = homography_of(straight_points(ground))
        elif projection is not None:
            homography = homography_from_projection(projection)
        else:
            homography = np.asarray(ground.homography, np.float64)
        enlarge = np.diag([*scale, 1.0])
        return GroundPlane(
            homography @ np.linalg.inv(enlarge),
            picture or size,
            None if region is None else np.asarray(region, np.float64) * scale,
            projection=None if projection is None else enlarge @ projection,
            lens=None if lens is None else lens.scaled(scale),
        )
    except (ValueError, np.linalg.LinAlgError) as error:
        raise PlaneError(str(error)) from None


def lens_of(ground: CameraGround) -> Lens | None:
    """What bends the camera's picture; None: nothing."""
    given: CameraLens | None = ground.camera or ground.lens
    return Lens(given.matrix, given.distortion) if given is not None and any(given.distortion) else None


def projection_of(ground: CameraGround) -> F8 | None:
    """World metres -> straight pixels (3, 4), where the calibration tells heights too."""
    if ground.projection is not None:
        return np.asarray(ground.projection, np.float64)
    return pose_projection(ground.camera) if ground.camera is not None else None


def straight_points(ground: CameraGround) -> F8:
    """The calibration's points (n, 4) of u, v, x, y, the pixels straightened by its lens."""
    points = np.array(ground.points, np.float64).reshape(-1, 4)
    lens = lens_of(ground)
    if lens is not None:
        points[:, :2] = lens.straighten(points[:, :2])
        if not np.isfinite(points).all():
            index = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
            raise PlaneError(f"point {index + 1} lies where the lens sees nothing; check matrix and distortion")
    return points


def pose_projection(camera: CameraPose) -> F8:
    """K [R | t], (3, 4)."""
    rotation = np.asarray(camera.rotation, np.float64)
    r = rotation if rotation.shape == (3, 3) else rotation_matrix(rotation)
    return np.asarray(np.asarray(camera.matrix) @ np.column_stack([r, camera.translation]))


def rotation_matrix(vector: ArrayLike) -> F8:
    """The (3, 3) of a rotation vector: axis times angle in radians (Rodrigues)."""
    v = np.asarray(vector, np.float64).ravel()
    angle = float(np.linalg.norm(v))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = v / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
