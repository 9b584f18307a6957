"""Calibrations that cannot be true, whatever the picture: what is wrong with the numbers, said in words.

The site file's schema sees to it that a matrix has its rows and points are four numbers each. What the numbers mean is
judged here, because one camera that is calibrated wrongly is no reason to refuse the site.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge.config import CameraGround
from spoton_edge.config.geometry import flatness, on_a_line

# Smallest over largest singular value of a homography whose rows are unit vectors and whose pixels are per thousand.
SINGULAR = 1e-10


def calibration_fault(ground: CameraGround) -> str | None:
    """What no picture can make true; None: nothing."""
    if ground.homography is not None and (fault := homography_fault(ground.homography)):
        return fault
    if ground.projection is not None and (fault := projection_fault(ground.projection)):
        return fault
    if ground.points is not None and (fault := points_fault(ground.points)):
        return fault
    lens = ground.camera or ground.lens
    if lens is not None and (fault := lens_matrix_fault(lens.matrix)):
        return f"its lens's matrix {fault}"
    if ground.camera is not None and (fault := rotation_fault(ground.camera.rotation)):
        return f"its rotation {fault}"
    return None


def homography_fault(matrix: Sequence[Sequence[float]]) -> str | None:
    """A 3x3 that maps image pixels to metres must be invertible and not the identity."""
    h = np.asarray(matrix, np.float64)
    largest = np.abs(h).max()
    if largest == 0:
        return "is all zeros; measure it, see calibration/README.md"
    h = h / largest
    if np.allclose(h, np.eye(3) * h[2, 2], rtol=0, atol=1e-9):
        return "is the identity: it calls pixels metres; measure it, see calibration/README.md"
    scaled = h * [1000.0, 1000.0, 1.0]
    norms = np.linalg.norm(scaled, axis=1)
    if norms.min() == 0 or flatness(scaled / norms[:, None]) < SINGULAR:
        return "is not invertible: it maps the whole image onto a line; measure it again, see calibration/README.md"
    return None


def projection_fault(matrix: Sequence[Sequence[float]]) -> str | None:
    """A 3x4 from world metres to image pixels must see the floor z = 0 as a plane, not as a line."""
    floor = np.asarray(matrix, np.float64)[:, [0, 1, 3]]
    largest = np.abs(floor).max()
    norms = np.linalg.norm(floor, axis=0)
    if largest == 0 or norms.min() == 0 or flatness(floor / norms) < SINGULAR:
        return "sees the floor (z = 0) as a line: its columns 1, 2 and 4 are not independent; check their order"
    if np.allclose(floor / largest, np.eye(3) * floor[2, 2] / largest, rtol=0, atol=1e-9):
        return "is the identity on the floor: it calls pixels metres; measure it, see calibration/README.md"
    return None


def lens_matrix_fault(matrix: Sequence[Sequence[float]]) -> str | None:
    """A 3x3 of focal lengths and principal point, in pixels."""
    (fx, _, cx), (below, fy, cy), last = matrix
    if below != 0 or tuple(last) != (0, 0, 1):
        return "is not of the form [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; is it transposed?"
    if fx <= 1 or fy <= 1 or cx < 0 or cy < 0:
        return "needs focal lengths and principal point in pixels, as in [[1000, 0, 960], [0, 1000, 540], [0, 0, 1]]"
    return None


def rotation_fault(rotation: Sequence[Sequence[float]] | Sequence[float]) -> str | None:
    """A 3x3 whose rows are unit vectors at right angles, right-handed; a rotation vector is always one."""
    r = np.asarray(rotation, np.float64)
    if r.ndim == 1:
        return None
    if not np.allclose(r @ r.T, np.eye(3), atol=5e-3):
        return "is no rotation: its rows are not unit vectors at right angles; check them"
    return "mirrors the world (its determinant is -1); check its signs" if np.linalg.det(r) < 0 else None


def points_fault(points: Sequence[Sequence[float]]) -> str | None:
    """Correspondences (u, v, x, y) fix a homography when four of them are in general position on both sides."""
    table = np.unique(np.asarray(points, np.float64), axis=0)
    for side, name in ((table[:, :2], "in the image (u, v)"), (table[:, 2:], "on the ground (x, y)")):
        distinct = np.unique(side, axis=0)
        if len(distinct) < len(table):
            return f"two points {name} are the same but their partners differ; correct or remove one"
        if len(distinct) < 4:
            return f"only {len(distinct)} different points {name}; at least 4 are needed"
        # Without any one of them the rest must still span a plane, otherwise all but one are on a line.
        if any(on_a_line(np.delete(distinct, n, axis=0)) for n in range(len(distinct))):
            return f"all points {name}, or all but one, lie on one line (collinear); add points beside it"
    return None
