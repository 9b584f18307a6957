"""The outline of points."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.polygons import convex_hull


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=30))
def test_a_hull_holds_all_its_points(raw: list[tuple[int, int]]) -> None:
    p = np.array(raw, np.float64)
    hull = convex_hull(p)
    if len(hull) < 3:
        return
    sides = np.roll(hull, -1, axis=0) - hull
    offsets = p[:, None] - hull[None]
    turn = sides[None, :, 0] * offsets[..., 1] - sides[None, :, 1] * offsets[..., 0]
    assert (turn >= -1e-9).all()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30))
def test_an_outline_turns_left_at_each_corner_and_leaves_nobody_out(points: list[tuple[int, int]]) -> None:
    outline = convex_hull(np.array(points, np.float64)).tolist()
    for a, b in zip(outline, (*outline[1:], *outline[:1]), strict=True):
        assert all((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) >= 0 for x, y in points)
