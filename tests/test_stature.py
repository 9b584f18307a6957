"""Telling people apart by how tall they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spoton_edge._ext import stature as _ext
from spoton_edge.global_track import TRACK, Motion, TrackTable
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.policy import Policy
from spoton_edge.stature import READINGS, Stature, exchange
from spoton_edge.twins import PAIR, Twins
from spoton_edge.types import F8, I4, FootPoint, Tracklets
from tests import reference_stature as twin
from tests.test_association import associator, looks_of, play, standing
from tests.world import OracleTracker, Walker, World, room

ALIKE = looks_of(1)[0]


def two_people(heights_m: tuple[float, float], seconds: float = 30.0, seed: int = 0) -> World:
    """Two people dressed alike who walk up to each other, stand close, and part."""
    half = seconds / 2
    ways = [
        np.array([[0.0, 2.0, 2.0], [half - 1, 4.8, 4.0], [half + 1, 4.8, 4.0], [seconds, 2.0, 6.0]]),
        np.array([[0.0, 8.0, 2.0], [half - 1, 5.2, 4.0], [half + 1, 5.2, 4.0], [seconds, 8.0, 6.0]]),
    ]
    walkers = [Walker(way, ALIKE, height) for way, height in zip(ways, heights_m, strict=True)]
    return World(room(4), walkers, seconds=seconds, seed=seed)


@pytest.mark.parametrize("projected", [True, False])
def test_heights_are_read_off_boxes_to_a_few_centimetres(projected: bool) -> None:
    walkers = [Walker(standing(3 + 2 * i, 4, 4), ALIKE, 1.6 + 0.1 * i) for i in range(3)]
    world = World(room(4), walkers, seconds=4.0)
    known = [
        GroundPlane(c.homography, c.image_size, projection=c.projection if projected else None) for c in world.cameras
    ]
    site, tracker = Site(known), OracleTracker()
    read: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for seen in world.steps():
        tracklets, who = tracker.update(seen)
        placed = site.project(tracklets)
        for person, tall, foot in zip(who.tolist(), placed.tall_m, placed.foot, strict=True):
            if person >= 0 and foot == FootPoint.SEEN:
                read[person].append(tall)
    medians = [float(np.nanmedian(read[k])) for k in range(3)]
    np.testing.assert_allclose(np.diff(medians), 0.1, atol=0.03)


def test_a_reading_never_speaks_for_anybody_and_against_at_most_as_much_as_odd_ones_are_rare() -> None:
    stature, record = Stature(Policy(), 2), np.zeros(3, TRACK)
    record["tall"], record["tall_n"] = [1.7, 1.9, 1.8], [50, 50, 0]
    seen = tracklets_of([1.7, 1.7, 1.7, np.nan])
    row, column = np.array([0, 1, 2, 3], np.int32), np.array([0, 1, 2, 0], np.int32)
    nats = said(stature, seen, row, record, column)
    assert nats[0] == pytest.approx(0.0, abs=1e-9)
    assert np.log(Policy().stature_odd) < nats[1] < -2.0
    assert nats[2:].tolist() == [0.0, 0.0]  # not known how tall he is; not to be read


def said(stature: Stature, seen: Tracklets, row: I4, record: NDArray[np.void], column: I4) -> F8:
    nats = np.zeros(len(row))
    stature.compare(seen, row, record, column, nats)
    return nats


def tracklets_of(tall_m: list[float]) -> Tracklets:
    rows = len(tall_m)
    tracklets = Tracklets.tracked(
        camera=np.zeros(rows, np.int16),
        track_id=np.arange(rows),
        state=np.zeros(rows, np.uint8),
        xyxy=np.zeros((rows, 4), np.float32),
        score=np.ones(rows, np.float32),
        captured_ns=np.zeros(rows, np.int64),
    )
    return replace(tracklets, tall_m=np.array(tall_m), foot=np.full(rows, FootPoint.SEEN, np.uint8))


def test_the_site_shows_how_good_readings_are() -> None:
    rng = np.random.default_rng(0)
    stature, table = Stature(Policy(), 2), people_of([1.6, 1.8])
    for _ in range(400):
        tall = np.array([1.6, 1.8]) + rng.normal(0, 0.025, 2)
        stature.learn(tracklets_of(tall.tolist()), np.array([0, 1], np.int32), table, 1.0)
    first, read = np.zeros(1, np.int32), tracklets_of([1.7])
    sharp, fresh = (said(of, read, first, table.record, first) for of in (stature, Stature(Policy(), 2)))
    assert sharp[0] < fresh[0] - 0.5


def people_of(heights_m: list[float]) -> TrackTable:
    table = TrackTable(Motion())
    table.predict(1_000_000_000)
    count = len(heights_m)
    xy, cov = np.column_stack([np.arange(count), np.zeros(count)]), np.tile([0.01, 0.0, 0.01], (count, 1))
    seen, nobody = replace(tracklets_of(heights_m), ground_xy=xy, ground_cov=cov), np.full(count, -1, np.int32)
    assert table.begin(nobody, seen, np.zeros(count), np.ones(1, np.uint8), 25.0).tolist() == list(range(count))
    table.record["global_id"] = np.arange(count) + 1
    return table


def test_ids_that_two_people_exchanged_when_they_met_are_put_right_and_told() -> None:
    world = two_people((1.62, 1.82))
    ids, tracker, events, owner = associator(world), OracleTracker(), [], {}
    cameras = np.arange(4, dtype=np.int16)
    for seen in world.steps():
        tracklets, _ = tracker.update(seen)
        bare = replace(ids.site.project(tracklets), has_embedding=np.zeros(len(tracklets), np.bool_))
        tracks, told = ids.update(cameras, np.full(4, seen.captured_ns), bare)
        if seen.frame_id == 155:  # they stand beside each other
            both = np.flatnonzero(ids._census.tracks.record["global_id"] > 0)
            assert len(both) == 2
            exchange(ids._census.tracks.record, *both.tolist())
        events += [(seen.frame_id, event) for event in told]
        for global_id, xy in zip(tracks.global_id.tolist(), tracks.xy, strict=True):
            person = int(np.argmin(np.linalg.norm(seen.xy - xy, axis=1)))
            owner.setdefault(seen.frame_id, {})[global_id] = int(seen.person[person])
    assert owner[150] == owner[290]
    ((frame, event),) = [(frame, event) for frame, event in events if event.kind == "exchanged"]
    assert 155 < frame < 200
    assert {event.global_id, event.other} == set(owner[150])
    assert event.reason is not None
    assert event.reason.gate == "stature"
    assert any(event.detail.startswith("exchanged") for event in ids.explain(event.global_id))


def test_who_were_hard_to_tell_apart_when_they_met_are_put_right_on_less_evidence() -> None:
    site = Stature(Policy(), 1)
    table = people_of([1.70, 1.75])
    record, policy = table.record, Policy()
    record["tall"], record["tall_n"], record["late_n"] = (1.70, 1.75), 60.0, 8.0
    record["late_tall"] = 1.75, 1.70
    pairs = np.array([(*record["uid"].tolist(), 4.0, policy.exchange_nats)], PAIR)
    assert not site.exchanged(table, pairs)
    pairs["kept"] = 0.0
    ((one, other, odds),) = site.exchanged(table, pairs)
    assert {one, other} == {0, 1}
    assert odds > policy.posterior_nats
    record["late_tall"] = record["tall"]
    assert not site.exchanged(table, pairs)


@pytest.mark.parametrize(("apart_m", "between"), [(0.1, True), (1.0, False), (3.0, False)])
def test_people_are_kept_apart_by_how_well_foot_points_tell_them_apart(apart_m: float, between: bool) -> None:
    table, policy = people_of([1.7, 1.7]), Policy()
    table.state[1, :2] = table.state[0, :2] + [apart_m, 0.0]
    twins = Twins(policy)
    twins.pairs = np.array([(*table.record["uid"].tolist(), 4.0, policy.exchange_nats)], PAIR)
    cov, track = np.tile([0.01, 0.0, 0.01], (2, 1)), np.arange(2, dtype=np.int32)
    seen = replace(tracklets_of([1.7, 1.7]), ground_xy=table.state[:, :2].copy(), ground_cov=cov)
    twins.meet(seen, np.ones(2, np.bool_), np.zeros(2), track, table)
    assert (twins.pairs["kept"][0] < 1.0) == between
    assert between or twins.pairs["kept"][0] > 4.9
    twins.settle(*table.record["uid"].tolist())
    assert twins.pairs["kept"][0] == policy.exchange_nats


@pytest.mark.parametrize("heights_m", [(1.72, 1.72), (1.62, 1.82)])
def test_people_who_meet_and_part_keep_their_ids(heights_m: tuple[float, float]) -> None:
    for seed in range(3):
        world = two_people(heights_m, seed=seed)
        run = play(world, associator(world))
        assert not run.events("exchanged")
        assert len(run.ids[0]) == len(run.ids[1]) == 1


def test_a_camera_that_reads_too_much_is_corrected() -> None:
    stature, table = Stature(Policy(), 2), people_of([1.7])
    for _ in range(300):
        seen = tracklets_of([1.66, 1.74])
        seen = replace(seen, camera=np.array([0, 1], np.int16))
        stature.learn(seen, np.zeros(2, np.int32), table, 1.0)
    here = said(
        stature,
        replace(tracklets_of([1.66, 1.66]), camera=np.array([0, 1], np.int16)),
        np.arange(2, dtype=np.int32),
        table.record,
        np.zeros(2, np.int32),
    )
    assert here[0] > -0.2
    assert here[1] < -1.0


def site_of(rng: np.random.Generator) -> NDArray[np.void]:
    """What a site may have learned of readings."""
    learned = np.zeros(1, READINGS)
    learned["readings"], learned["swayed"] = rng.uniform(50, 1999, 2), rng.uniform(50, 1999)
    learned["variance"], learned["sway"] = rng.uniform(0.01, 0.1, 2) ** 2, rng.uniform(0.01, 0.05) ** 2
    learned["odd"] = rng.uniform(0.01, 0.6, 2)
    return learned


def known_people(rng: np.random.Generator, count: int) -> NDArray[np.void]:
    record = np.zeros(count, TRACK)
    record["uid"], record["global_id"] = np.arange(count) * 2 + 5, rng.choice([-1, 1, 2, 3], count)
    record["tall"], record["late_tall"] = rng.normal(1.7, 0.08, (2, count))
    record["tall_n"], record["late_n"] = rng.choice([0.0, 3.0, 9.0, 40.0], (2, count))
    return record


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 6))
@settings(deadline=None)
def test_readings_say_and_teach_what_their_slow_twins_say_and_teach(seed: int, rows: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    learned, record, bias_m = site_of(rng), known_people(rng, people), rng.normal(0, 0.05, 3)
    tall_m = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(1.7, 0.1, rows))
    camera, foot = rng.integers(0, 3, rows).astype(np.int16), rng.integers(0, 3, rows).astype(np.uint8)
    state, track = (rng.random(rows) < 0.2).astype(np.uint8), rng.integers(-1, people, rows).astype(np.int32)
    pairs = rows * 3 if people else 0
    row, column = (rng.integers(0, max(n, 1), pairs).astype(np.int32) for n in (rows, people))

    bonus = np.ones(pairs)
    _ext.compare(learned, bias_m, tall_m, camera, foot, row, record, column, bonus)
    want = twin.compare(learned[0], bias_m, tall_m, camera, foot, row, record, column)
    np.testing.assert_allclose(bonus - 1, want, atol=1e-12)
    others = known_people(rng, 4)
    np.testing.assert_allclose(
        _ext.between(learned, record, others), twin.between(learned[0], record, others), atol=1e-12
    )

    expected, people_then, bias_then = learned.copy(), record.copy(), bias_m.copy()
    numbers = 0.7, 8.0, 6.0, 20.0
    _ext.learn(learned, bias_m, record, tall_m, camera, foot, state, track, *numbers)
    twin.learn(expected[0], bias_then, people_then, tall_m, camera, foot, state, track, *numbers)
    np.testing.assert_allclose(bias_m, bias_then, atol=1e-12)
    for name in READINGS.names or ():
        np.testing.assert_allclose(learned[name], expected[name], atol=1e-12, err_msg=name)
    for name in ("tall", "tall_n", "late_tall", "late_n", "read_m", "reads"):
        np.testing.assert_allclose(record[name], people_then[name], atol=1e-12, err_msg=name)


@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
@settings(deadline=None)
def test_who_was_mistaken_for_whom_is_told_as_by_the_slow_twin(seed: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    learned, record = site_of(rng), known_people(rng, people)
    uids = np.sort(rng.integers(0, 2 * people + 6, (12, 2)), axis=1)
    met = sorted({(int(a), int(b)) for a, b in uids if a < b})
    pairs = np.array([(*pair, 0.0, rng.uniform(-1.0, 6.0)) for pair in met], PAIR)
    rows, odds = _ext.exchanged(learned, record, pairs, 3.0, 0.5)
    want = twin.exchanged(learned[0], record, pairs, 3.0, 0.5)
    assert [tuple(pair) for pair in rows.tolist()] == list(want)
    np.testing.assert_allclose(odds, list(want.values()), atol=1e-12)


def test_readings_that_do_not_fit_are_refused() -> None:
    learned, record, one = np.zeros(1, READINGS), np.zeros(2, TRACK), np.zeros(1, np.int32)
    seen = np.ones(1), np.zeros(1, np.int16), np.zeros(1, np.uint8)
    with pytest.raises(ValueError, match="no camera 0"):
        _ext.compare(learned, np.zeros(0), *seen, one, record, one, np.zeros(1))
    with pytest.raises(ValueError, match="no tracklet 0, or no track 2"):
        _ext.compare(learned, np.zeros(1), *seen, one, record, one + 2, np.zeros(1))
    with pytest.raises(ValueError, match="no track 2"):
        _ext.learn(learned, np.zeros(1), record, *seen, np.zeros(1, np.uint8), one + 2, 1.0, 8.0, 6.0, 20.0)
    with pytest.raises(ValueError, match="one record of readings, not 2"):
        _ext.between(np.zeros(2, READINGS), record, record)
