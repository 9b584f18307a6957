"""The gate between sights: boolean and physical."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.handoff import FIRST_LINK, NO_GATE, WALK_GATE, Handoff, Link, Sight
from tests.reference_identity import handoff_gate

SIZES = np.array([[100.0, 80.0], [100.0, 80.0], [100.0, 80.0]])


def sight(camera: int, seconds: float, foot: tuple[float, float] = (50, 40), xy: tuple[float, float] = (0, 0)) -> Sight:
    return Sight(
        camera=np.array([camera], np.int16),
        foot=np.array([foot], float),
        seen_ns=np.array([int(seconds * 1e9)]),
        xy=np.array([xy], float),
        sd_m=np.array([0.1]),
    )


def gate(handoff: Handoff, lost: Sight, new: Sight) -> int:
    return int(handoff.gates(lost, new)[0, 0])


@given(st.floats(0.1, 60), st.floats(0, 200))
def test_without_links_the_gate_is_as_far_as_a_person_walks(gap_s: float, metres: float) -> None:
    got = gate(Handoff([], SIZES), sight(0, 10), sight(1, 10 + gap_s, xy=(metres, 0)))
    reach = 3.0 * gap_s + 3.0 * np.hypot(0.1, 0.1)
    if abs(metres - reach) > 1e-6:
        assert got == (WALK_GATE if metres < reach else NO_GATE)


def test_nobody_is_found_before_he_is_lost() -> None:
    assert gate(Handoff([], SIZES), sight(0, 10), sight(1, 10)) == NO_GATE
    assert gate(Handoff([], SIZES), sight(0, 10), sight(1, 9)) == NO_GATE


def test_a_link_wants_its_zones_and_its_time() -> None:
    links = [Link(camera=0, zone="lower_left", to=1, travel_s=(2, 5), enter="upper_right")]
    handoff = Handoff(links, SIZES)
    leaves, enters = sight(0, 10, (10, 70)), sight(1, 13, (90, 10))
    assert gate(handoff, leaves, enters) == FIRST_LINK
    assert gate(handoff, sight(0, 10, (90, 70)), enters) == NO_GATE
    assert gate(handoff, leaves, sight(1, 13, (10, 10))) == NO_GATE
    assert gate(handoff, leaves, sight(1, 11, (90, 10))) == NO_GATE
    assert gate(handoff, leaves, sight(1, 16, (90, 10))) == NO_GATE
    assert gate(handoff, leaves, sight(2, 13, (90, 10))) == NO_GATE


def test_a_link_is_still_no_faster_than_walking() -> None:
    handoff = Handoff([Link(0, "lower_left", 1, (1, 5))], SIZES)
    assert gate(handoff, sight(0, 10, (10, 70)), sight(1, 12, xy=(5.0, 0))) == FIRST_LINK
    assert gate(handoff, sight(0, 10, (10, 70)), sight(1, 12, xy=(50.0, 0))) == NO_GATE


def test_the_same_camera_needs_no_link_and_other_cameras_no_link_where_none_is_configured() -> None:
    handoff = Handoff([Link(0, "lower_left", 1, (1, 5))], SIZES)
    assert gate(handoff, sight(0, 10), sight(0, 12)) == WALK_GATE
    assert gate(handoff, sight(2, 10), sight(1, 12)) == WALK_GATE


def test_a_place_that_is_not_known_opens_no_gate_to_another_camera() -> None:
    nowhere = (np.nan, np.nan)
    assert gate(Handoff([], SIZES), sight(0, 10, xy=nowhere), sight(1, 12)) == NO_GATE
    assert gate(Handoff([], SIZES), sight(0, 10, xy=nowhere), sight(0, 12)) == WALK_GATE


def test_bad_links_are_refused() -> None:
    with pytest.raises(ValueError, match="travel_s"):
        Handoff([Link(0, "lower_left", 1, (5, 2))], SIZES)
    with pytest.raises(ValueError, match="none of"):
        Handoff([Link(0, "middle", 1, (1, 2))], SIZES)
    with pytest.raises(ValueError, match="image size"):
        Handoff([Link(0, "lower_left", 1, (1, 2))], np.full((2, 2), np.nan))


def sights(rng: np.random.Generator, count: int) -> Sight:
    xy = rng.uniform(0, 12, (count, 2))
    xy[rng.random(count) < 0.3] = np.nan
    return Sight(
        camera=rng.integers(-1, 3, count).astype(np.int16),
        foot=rng.uniform(0, 100, (count, 2)),
        seen_ns=rng.integers(0, 10_000_000_000, count),
        xy=xy,
        sd_m=rng.uniform(0, 1, count),
    )


ZONES = st.sampled_from(["upper_left", "lower_right", [[10, 10], [90, 20], [80, 70], [40, 40], [5, 75]]])
LINKS = st.builds(
    Link,
    camera=st.integers(0, 2),
    zone=ZONES,
    to=st.integers(0, 2),
    travel_s=st.tuples(st.floats(0, 2), st.floats(2, 8)),
    enter=st.none() | ZONES,
)


@given(st.integers(0, 2**32 - 1), st.lists(LINKS, max_size=3), st.integers(0, 6), st.integers(0, 6))
@settings(deadline=None)
def test_all_gates_of_a_step_are_as_their_twin_has_them(seed: int, links: list[Link], left: int, came: int) -> None:
    rng = np.random.default_rng(seed)
    handoff, lost, new = Handoff(links, SIZES), sights(rng, left), sights(rng, came)
    got = handoff.gates(lost, new)
    assert got.shape == (left, came)
    assert got.tolist() == [[handoff_gate(handoff, lost, i, new, j) for j in range(came)] for i in range(left)]
