"""What makes a polygon or a calibration unusable, said in words. Only what is wrong beyond doubt is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Corner: TypeAlias = tuple[float, float]

MAX_CORNERS = 200
MAX_POINTS = 1000

# A set of points counts as a line when it is this many times longer than wide: two pixels in a thousand.
LINE_RATIO = 2e-3
# Smallest over largest singular value of a homography whose rows are unit vectors and whose pixels are per thousand.
SINGULAR = 1e-10


def polygon_fault(corners: Sequence[tuple[float, float]]) -> str | None:
    """Corners in order, closed by itself: at least 3, an area, no side crossing another."""
    count = len(corners)
    if not 3 <= count <= MAX_CORNERS:
        return f"a polygon needs 3 to {MAX_CORNERS} corners [u, v], this one has {count}"
    if len(set(corners)) < count:
        return "a corner is given twice; give each once (a polygon closes by itself)"
    if _on_a_line(np.asarray(corners, np.float64)):
        return "the corners lie on one line; give corners around an area"
    sides = [(corners[n], corners[(n + 1) % count]) for n in range(count)]
    for i, j in combinations(range(count), 2):
        neighbours = (j - i) % count in (1, count - 1)  # they share a corner
        if not neighbours and _cross(*sides[i], *sides[j]):
            return f"the side from corner {i + 1} crosses the side from corner {j + 1}; give the corners in order"
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
    if norms.min() == 0 or _flatness(scaled / norms[:, None]) < SINGULAR:
        return "is not invertible: it maps the whole image onto a line; measure it again, see calibration/README.md"
    return None


def projection_fault(matrix: Sequence[Sequence[float]]) -> str | None:
    """A 3x4 from world metres to image pixels must see the floor z = 0 as a plane, not as a line."""
    floor = np.asarray(matrix, np.float64)[:, [0, 1, 3]]
    largest = np.abs(floor).max()
    norms = np.linalg.norm(floor, axis=0)
    if largest == 0 or norms.min() == 0 or _flatness(floor / norms) < SINGULAR:
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


def rotation_fault(matrix: Sequence[Sequence[float]]) -> str | None:
    """A 3x3 whose rows are unit vectors at right angles, right-handed."""
    r = np.asarray(matrix, np.float64)
    if not np.allclose(r @ r.T, np.eye(3), atol=5e-3):
        return "is no rotation: its rows are not unit vectors at right angles; check them"
    return "mirrors the world (its determinant is -1); check its signs" if np.linalg.det(r) < 0 else None


def points_fault(points: Sequence[Sequence[float]]) -> str | None:
    """Correspondences (u, v, x, y) fix a homography when four of them are in general position on both sides."""
    if not 4 <= len(points) <= MAX_POINTS:
        return f"a homography needs 4 to {MAX_POINTS} points [u, v, x, y], here are {len(points)}"
    table = np.unique(np.asarray(points, np.float64), axis=0)
    for side, name in ((table[:, :2], "in the image (u, v)"), (table[:, 2:], "on the ground (x, y)")):
        distinct = np.unique(side, axis=0)
        if len(distinct) < len(table):
            return f"two points {name} are the same but their partners differ; correct or remove one"
        if len(distinct) < 4:
            return f"only {len(distinct)} different points {name}; at least 4 are needed"
        # Without any one of them the rest must still span a plane, otherwise all but one are on a line.
        if any(_on_a_line(np.delete(distinct, n, axis=0)) for n in range(len(distinct))):
            return f"all points {name}, or all but one, lie on one line (collinear); add points beside it"
    return None


def _on_a_line(points: NDArray[np.float64]) -> bool:
    return _flatness(points - points.mean(axis=0)) < LINE_RATIO


def _flatness(matrix: NDArray[np.float64]) -> float:
    singular = np.linalg.svd(matrix, compute_uv=False)
    return float(singular[-1] / singular[0]) if singular[0] > 0 else 0.0


def _cross(a: _Corner, b: _Corner, c: _Corner, d: _Corner) -> bool:
    """Whether segments ab and cd have a point in common."""
    turns = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _between(*end) for turn, end in zip(turns, ends, strict=True))


def _turn(a: _Corner, b: _Corner, c: _Corner) -> int:
    """The sign of the turn a -> b -> c; 0: on one line."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def _between(a: _Corner, b: _Corner, c: _Corner) -> bool:
    """Whether c, on the line through a and b, lies between them."""
    return all(min(p, q) <= r <= max(p, q) for p, q, r in zip(a, b, c, strict=True))
