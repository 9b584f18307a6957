"""What makes a polygon unusable, said in words; and flatness, by which `calibration.faults` knows points on a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Corner: TypeAlias = tuple[float, float]

MAX_CORNERS = 200

# A set of points counts as a line when it is this many times longer than wide: two pixels in a thousand.
LINE_RATIO = 2e-3


def polygon_fault(corners: Sequence[tuple[float, float]]) -> str | None:
    """Corners in order, closed by itself: at least 3, an area, no side crossing another."""
    count = len(corners)
    if not 3 <= count <= MAX_CORNERS:
        return f"a polygon needs 3 to {MAX_CORNERS} corners [u, v], this one has {count}"
    if len(set(corners)) < count:
        return "a corner is given twice; give each once (a polygon closes by itself)"
    if on_a_line(np.asarray(corners, np.float64)):
        return "the corners lie on one line; give corners around an area"
    sides = [(corners[n], corners[(n + 1) % count]) for n in range(count)]
    for i, j in combinations(range(count), 2):
        neighbours = (j - i) % count in (1, count - 1)  # they share a corner
        if not neighbours and _cross(*sides[i], *sides[j]):
            return f"the side from corner {i + 1} crosses the side from corner {j + 1}; give the corners in order"
    return None


def on_a_line(points: NDArray[np.float64]) -> bool:
    """Whether points (n, 2) are this near to one line that nothing beside it can be told from them."""
    return flatness(points - points.mean(axis=0)) < LINE_RATIO


def flatness(matrix: NDArray[np.float64]) -> float:
    """Smallest over largest singular value, 0 to 1."""
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
