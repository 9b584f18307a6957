"""Where people who are out of sight are looked for: there where they go, and as they move."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.global_track import TRACK, Motion
from spoton_edge.naming import place_nats
from spoton_edge.types import F8

NEWCOMER_PER_M2 = 0.01


def nats(velocity: tuple[float, float], xy: tuple[float, float], moves: tuple[float, float], gap_s: float) -> float:
    """Of somebody last seen whole at (0, 0) and moving with `velocity`; and of who is at xy after gap_s, and moves."""
    lost, state, cov = np.zeros(1, TRACK), np.array([[*xy, *moves]]), np.diag([0.04, 0.04, 0.1, 0.1])[None]
    lost["whole_velocity"], lost["whole_sd"], lost["whole_velocity_sd"] = velocity, 0.2, 0.3
    share: F8 = np.full((1, 1), 0.2)
    return float(place_nats(lost, state, cov, round(gap_s * 1e9), Motion(), NEWCOMER_PER_M2, share)[0, 0])


def test_who_walks_is_looked_for_where_he_goes_and_not_where_he_was() -> None:
    ahead = nats((1.3, 0.0), (3.9, 0.0), (1.3, 0.0), 3.0)
    assert ahead > nats((1.3, 0.0), (0.0, 0.0), (1.3, 0.0), 3.0)
    assert ahead > nats((1.3, 0.0), (-3.9, 0.0), (1.3, 0.0), 3.0)


def test_who_comes_the_other_way_is_somebody_else() -> None:
    assert nats((1.3, 0.0), (3.9, 0.0), (1.3, 0.0), 3.0) > nats((1.3, 0.0), (3.9, 0.0), (-1.3, 0.0), 3.0) + 1.0


def test_who_stood_is_looked_for_where_he_stood() -> None:
    assert nats((0.0, 0.0), (0.1, 0.0), (0.0, 0.0), 10.0) > nats((0.0, 0.0), (5.0, 0.0), (0.0, 0.0), 10.0) + 2.0


@given(
    velocity=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    xy=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    moves=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    gap_s=st.floats(0, 120),
    turn=st.floats(0, 6.28),
)
def test_a_place_never_says_less_than_that_he_came_in_anew_nor_depends_on_the_axes(
    velocity: tuple[float, float], xy: tuple[float, float], moves: tuple[float, float], gap_s: float, turn: float
) -> None:
    say = nats(velocity, xy, moves, gap_s)
    assert say >= np.log(0.2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = [tuple((rotation @ vector).tolist()) for vector in (velocity, xy, moves)]
    np.testing.assert_allclose(nats(turned[0], turned[1], turned[2], gap_s), say, rtol=1e-6, atol=1e-9)


def test_after_a_long_time_it_does_not_matter_where_he_was() -> None:
    far, near = (nats((1.0, 0.0), (x, 0.0), (1.0, 0.0), 600.0) for x in (40.0, 2.0))
    assert abs(far - near) < 0.2
