"""Polygons in a plane: what is inside of one, and the outline of points."""

from __future__ import annotations

import numpy as np

from spoton_edge.types import F8, Bool


def inside(polygon: F8, points: F8) -> Bool:
    """(n,) which points (n, 2) lie in a polygon (k, 2), by the even-odd rule; without corners none does."""
    odd = np.zeros(len(points), bool)
    for i in range(len(polygon)):
        (ax, ay), (bx, by) = polygon[i - 1], polygon[i]
        crosses = (ay > points[:, 1]) != (by > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            odd ^= crosses & (points[:, 0] < (bx - ax) * (points[:, 1] - ay) / (by - ay) + ax)
    return odd


def convex_hull(points: F8) -> F8:
    """Corners (k, 2) of the hull in order (Andrew's monotone chain)."""
    ordered = sorted({(float(a), float(b)) for a, b in points})
    if len(ordered) < 3:
        return np.array(ordered).reshape(-1, 2)
    halves = []
    for sequence in (ordered, ordered[::-1]):
        half: list[tuple[float, float]] = []
        for c in sequence:
            while len(half) > 1 and _turn(half[-2], half[-1], c) <= 0:
                half.pop()
            half.append(c)
        halves.append(half[:-1])
    return np.array(halves[0] + halves[1])


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
