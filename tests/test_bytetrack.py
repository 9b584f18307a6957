"""The compiled ByteTrack against the published implementation's answers and against its slow twin."""

import os
import sys
import threading
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

import lap
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from spoton_edge._ext.bytetrack import ByteTracker, MultiCameraTracker
from spoton_edge.types import F4, Detections
from tests import mot17, reference
from tests.process import resident_bytes

EMPTY = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


def boxes(*rows: tuple[float, ...]) -> tuple[F4, F4]:
    """Rows of x, y, width, height, score as xyxy and score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return np.hstack([table[:, :2], table[:, :2] + table[:, 2:4]]), table[:, 4].copy()


def assert_agree(tracker: ByteTracker, twin: reference.ByteTrack, frame: tuple[F4, F4] | None) -> None:
    """Advances both by a frame (None: predicted) and compares everything that can be seen."""
    tracks, expected = (
        (tracker.predict(), twin.predict()) if frame is None else (tracker.update(*frame), twin.update(*frame))
    )
    assert tracks.track_id.tolist() == [track.id for track in expected]
    assert tracks.score.tolist() == [track.score for track in expected]
    assert tracks.state.tolist() == [int(frame is None)] * len(expected)
    wanted = np.array([track.box() for track in expected]).reshape(-1, 4)
    np.testing.assert_allclose(tracks.xyxy, wanted, rtol=1e-6, atol=1e-3)


# --- the published tracker ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", mot17.SEQUENCES)
def test_ids_order_and_boxes_are_those_of_the_published_tracker_in_every_frame(
    shared_data: Path, sequence: str
) -> None:
    tracker = ByteTracker(mot17.FRAME_RATE)
    none = np.zeros((0, 6))
    for (xyxy, score), expected in zip_longest(
        mot17.detections(shared_data, sequence), mot17.published(shared_data, sequence), fillvalue=none
    ):
        tracks = tracker.update(xyxy, score)
        assert tracks.track_id.tolist() == expected[:, 0].astype(int).tolist()
        np.testing.assert_allclose(tracks.xyxy, expected[:, 1:5], rtol=0, atol=1e-3)
        np.testing.assert_allclose(tracks.score, expected[:, 5], rtol=0, atol=1e-4)


# --- the slow twin --------------------------------------------------------------------------------------------------

# Coordinates and scores from short lists, so that boxes repeat, touch and have no area, and scores meet thresholds.
people = st.tuples(
    st.sampled_from([0, 5, 10, 20, 40, 41, 80, 100]),
    st.sampled_from([0, 3, 10, 30, 31]),
    st.sampled_from([0, 1, 20, 30, 40]),
    st.sampled_from([0, 1, 30, 60, 80]),
    st.sampled_from([0.05, 0.1, 0.11, 0.3, 0.5, 0.51, 0.6, 0.9, 1.0]),
)
frames = st.lists(st.one_of(st.none(), st.lists(people, max_size=9)), min_size=1, max_size=14)
thresholds = st.fixed_dictionaries(
    {},
    optional={
        "high_score": st.sampled_from([0.3, 0.5, 0.6]),
        "low_score": st.sampled_from([0.0, 0.1, 0.3]),
        "new_score": st.sampled_from([0.5, 0.6, 0.9]),
        "match_limit": st.sampled_from([0.3, 0.8, 1.0]),
        "second_match_limit": st.sampled_from([0.0, 0.5, 1.0]),
        "new_match_limit": st.sampled_from([0.5, 0.7, 1.0]),
        "duplicate_limit": st.sampled_from([0.15, 0.6]),
        "buffer_s": st.sampled_from([0.0, 0.05, 0.1, 1.0]),
        "pascal_iou": st.booleans(),
    },
)


@settings(deadline=None, max_examples=300)
@example(  # two tracks in one place, one faint detection: which of them is left out is a tie
    frames=[[(0, 10, 20, 30, 0.6)] * 2, [(0, 10, 20, 30, 0.11)]], thresholds={}, frame_rate=30.0
)
@given(frames=frames, thresholds=thresholds, frame_rate=st.sampled_from([14.0, 30.0, 60.0]))
def test_on_worlds_full_of_ties_and_edges_it_does_what_its_twin_does(
    frames: list[list[tuple[float, ...]] | None], thresholds: dict[str, Any], frame_rate: float
) -> None:
    tracker = ByteTracker(frame_rate, **thresholds)
    twin = reference.ByteTrack(frame_rate, **thresholds)
    for frame in frames:
        assert_agree(tracker, twin, None if frame is None else boxes(*frame))


def walkers(seed: int, people: int, frames: int) -> list[tuple[F4, F4]]:
    """People who walk through a picture and through each other; some are missed, some seen faintly or twice."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(60, 240, people)
    at = rng.uniform([0, 0], [1280, 720], (people, 2))
    step = rng.normal(0, 4, (people, 2))
    world = []
    for _ in range(frames):
        at += step
        seen = np.flatnonzero(rng.random(people) < 0.93)
        seen = np.concatenate([seen, rng.choice(people, people // 20)])
        tall = height[seen] * rng.normal(1, 0.02, len(seen))
        corner = at[seen] + rng.normal(0, 2, (len(seen), 2))
        xyxy = np.column_stack([corner, corner + np.column_stack([0.4 * tall, tall])]).astype(np.float32)
        world.append((xyxy, rng.uniform(0.05, 1, len(seen)).round(2).astype(np.float32)))
    return world


@pytest.mark.parametrize(("people", "frames"), [(1, 60), (7, 120), (40, 40), (500, 2)])
def test_on_walking_people_it_does_what_its_twin_does(people: int, frames: int) -> None:
    tracker, twin = ByteTracker(), reference.ByteTrack()
    for number, frame in enumerate(walkers(people, people, frames)):
        assert_agree(tracker, twin, None if number % 7 == 5 else frame)


def test_five_hundred_boxes_in_one_place_are_five_hundred_tracks() -> None:
    frame = boxes(*[(100, 100, 40, 120, 0.9)] * 500)
    tracker = ByteTracker()
    for _ in range(5):
        tracks = tracker.update(*frame)
        assert tracks.track_id.tolist() == list(range(1, 501))
    assert len(tracker.update(*EMPTY)) == 0
    assert len(tracker.update(*frame)) == 500


def test_the_filter_in_blocks_is_the_whole_filter() -> None:
    rng = np.random.default_rng(5)
    z = np.array([300.0, 200.0, 0.4, 150.0])
    blocks, whole = reference.Filter(z), reference.MatrixFilter(z)
    for step in range(200):
        z = z + rng.normal(0, [3, 3, 0.01, 2])
        blocks.predict()
        whole.predict()
        if step % 5:
            blocks.update(z)
            whole.update(z)
        np.testing.assert_allclose(np.concatenate([blocks.value, blocks.rate]), whole.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(np.diag(whole.cov), np.concatenate([blocks.p, blocks.v]), rtol=1e-9)
        np.testing.assert_allclose(np.diag(whole.cov[:4, 4:]), blocks.c, rtol=1e-9)
        assert np.count_nonzero(np.abs(whole.cov) > 1e-12) <= 16


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.booleans()
)
def test_the_twin_assigns_at_the_least_cost(seed: int, rows: int, columns: int, limit: float, coarse: bool) -> None:
    cost = np.random.default_rng(seed).random((rows, columns))
    cost = cost.round(1) if coarse else cost

    def total(column_of_row: list[int]) -> float:
        return sum(cost[row, column] if column >= 0 else limit for row, column in enumerate(column_of_row))

    chosen = reference.assign(cost, limit)
    matched = [column for column in chosen if column >= 0]
    assert len(set(matched)) == len(matched)
    capped = np.minimum(cost, limit)
    least = capped[linear_sum_assignment(capped)].sum() + limit * max(rows - columns, 0)
    assert total(chosen) == pytest.approx(least)
    published = lap.lapjv(cost, extend_cost=True, cost_limit=limit)[1].tolist()
    assert total(published) == pytest.approx(least)
    if not coarse:
        assert chosen == published


# --- rules ----------------------------------------------------------------------------------------------------------


def test_a_score_on_a_threshold_is_compared_in_single_precision_as_published() -> None:
    high, low, new = np.float32([0.5, 0.1, 0.6])
    assert len(ByteTracker().update(*boxes((0, 0, 40, 100, float(high))))) == 0  # exactly high: neither high nor low
    tracker = ByteTracker()
    assert len(tracker.update(*boxes((0, 0, 40, 100, float(new))))) == 1  # exactly new: starts a track
    assert len(tracker.update(*boxes((0, 0, 40, 100, float(low))))) == 0  # exactly low: too faint to keep it alive
    tracker = ByteTracker()
    tracker.update(*boxes((0, 0, 40, 100, 0.9)))
    assert len(tracker.update(*boxes((0, 0, 40, 100, float(np.nextafter(low, np.float32(1))))))) == 1


def test_a_lost_track_is_found_again_within_the_buffer_and_not_after_it() -> None:
    person = boxes((0, 0, 40, 100, 0.9))
    for away, expected in ((29, [1]), (30, [1]), (31, [])):
        tracker = ByteTracker(frame_rate=30.0, buffer_s=1.0)
        tracker.update(*person)
        for _ in range(away + 1):
            tracker.update(*EMPTY)
        assert tracker.update(*person).track_id.tolist() == expected, away


def test_a_new_track_is_shown_once_a_second_frame_confirms_it() -> None:
    tracker = ByteTracker()
    tracker.update(*EMPTY)
    person = boxes((0, 0, 40, 100, 0.9))
    assert tracker.update(*person).track_id.tolist() == []
    assert tracker.update(*person).track_id.tolist() == [1]


def test_plain_iou_and_pascal_iou_differ_where_a_pixel_decides() -> None:
    first, second = boxes((0, 0, 1, 100, 0.9)), boxes((1, 0, 1, 100, 0.9))  # they touch; with the pixel they overlap
    for pascal_iou, expected in ((True, [1]), (False, [])):
        tracker = ByteTracker(pascal_iou=pascal_iou)
        tracker.update(*first)
        assert tracker.update(*second).track_id.tolist() == expected


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read the memory in use from")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the address sanitizer keeps freed memory")
def test_twenty_thousand_frames_of_people_who_come_and_go_need_no_more_memory() -> None:
    rng = np.random.default_rng(2)
    tracker = ByteTracker()
    at, until = np.zeros((40, 2)), np.zeros(40)
    for frame in range(20_000):
        ended = until <= frame
        at[ended] = rng.uniform([0, 0], [1920, 1080], (int(ended.sum()), 2))
        until[ended] = frame + rng.integers(20, 80, int(ended.sum()))
        xyxy = np.hstack([at, at + np.array([50, 120])]).astype(np.float32)
        tracks = tracker.update(xyxy, np.full(40, 0.9, np.float32))
        if frame == 1000:
            before = resident_bytes()
    assert tracks.track_id.max() > 10_000
    assert resident_bytes() - before < 2_000_000


def test_predicting_before_anything_was_seen_changes_nothing() -> None:
    tracker = ByteTracker()
    assert len(tracker.predict()) == 0
    assert tracker.update(*boxes((0, 0, 40, 100, 0.9))).track_id.tolist() == [1]


# --- many cameras ---------------------------------------------------------------------------------------------------


def joined(parts: list[tuple[F4, F4]]) -> Detections:
    offsets = np.cumsum([0, *(len(score) for _, score in parts)]).astype(np.int32)
    xyxy, score = zip(EMPTY, *parts, strict=True)
    return Detections(np.concatenate(xyxy), np.concatenate(score), offsets)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_cameras_in_one_call_are_as_many_trackers_whatever_the_order_and_the_threads(threads: int) -> None:
    rng = np.random.default_rng(1)
    worlds = [walkers(seed, 12, 40) for seed in range(9)]
    together = MultiCameraTracker([30.0] * 9, threads=threads)
    alone = [ByteTracker(30.0) for _ in worlds]
    for frame in range(40):
        cameras = rng.permutation(9)[: rng.integers(0, 10)].astype(np.int16)
        skipped = frame % 4 == 3
        parts = [worlds[camera][frame] for camera in cameras]
        batch = together.predict(cameras) if skipped else together.update(joined(parts), cameras)
        assert len(batch.offsets) == len(cameras) + 1
        for row, (camera, part) in enumerate(zip(cameras, parts, strict=True)):
            expected = alone[camera].predict() if skipped else alone[camera].update(*part)
            here = slice(batch.offsets[row], batch.offsets[row + 1])
            assert set(batch.camera[here].tolist()) <= {camera}
            for name in ("track_id", "xyxy", "score", "state"):
                np.testing.assert_array_equal(getattr(batch, name)[here], getattr(expected, name))


def test_other_threads_run_during_an_update() -> None:
    """With the switch interval this long, a thread gets its turn only when the other one lets go of the GIL."""
    crowd = walkers(3, 500, 1)[0]
    tracker = MultiCameraTracker([30.0] * 20)
    detections = joined([crowd] * 20)
    turns, stop = 0, threading.Event()

    def busy() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=busy)
    sys.setswitchinterval(3600)
    try:
        thread.start()
        before = turns
        for _ in range(200):  # a busy machine may have no core to spare for the other thread at first
            tracker.update(detections)
            if turns > before:
                break
        assert turns > before
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()


# --- the border -----------------------------------------------------------------------------------------------------

GOOD = boxes((0, 0, 40, 100, 0.9), (200, 0, 40, 100, 0.8))


def spoilt(row: int, column: int, value: float) -> tuple[F4, F4]:
    xyxy, score = GOOD[0].copy(), GOOD[1].copy()
    if column < 4:
        xyxy[row, column] = value
    else:
        score[row] = value
    return xyxy, score


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (spoilt(1, 1, np.nan), r"xyxy row 1, column 1 \(y1\): nan is not a pixel coordinate"),
        (spoilt(0, 2, np.inf), r"xyxy row 0, column 2 \(x2\): inf is not a pixel coordinate"),
        (spoilt(0, 0, -3e9), r"xyxy row 0, column 0 \(x1\): -3000000000.0 is not a pixel coordinate"),
        (spoilt(1, 4, np.nan), "score row 1: nan is not a score"),
        (spoilt(1, 2, 100), r"xyxy row 1, column 2 \(x2\): 100.0 is less than x1 = 200.0"),
        (spoilt(0, 3, -1), r"xyxy row 0, column 3 \(y2\): -1.0 is less than y1 = 0.0"),
        ((GOOD[0].astype(float), GOOD[1]), r"xyxy must be .* float32 \(N, 4\), not float64 of shape \(2, 4\)"),
        ((GOOD[0][:, :3].copy(), GOOD[1]), r"xyxy must be .* not float32 of shape \(2, 3\)"),
        ((GOOD[0].ravel(), GOOD[1]), r"xyxy must be .* not float32 of shape \(8,\)"),
        ((GOOD[0][::2, ::-1], GOOD[1][:1]), "xyxy must be a C-contiguous array"),
        ((GOOD[0], GOOD[1][:1]), "2 boxes but 1 scores"),
        ((GOOD[0], GOOD[1].astype(">f4")), "score must be .* not >f4"),
        ((GOOD[0].tolist(), GOOD[1]), "xyxy must be .* not list"),
        ((GOOD[0], None), "score must be .* not NoneType"),
    ],
)
def test_bad_input_is_refused_by_name_and_leaves_the_tracker_as_it_was(bad: tuple[Any, Any], message: str) -> None:
    tracker, untouched = ByteTracker(), ByteTracker()
    tracker.update(*GOOD)
    untouched.update(*GOOD)
    with pytest.raises(ValueError, match=message):
        tracker.update(*bad)
    for _ in range(3):
        here, there = tracker.update(*GOOD), untouched.update(*GOOD)
        assert here.track_id.tolist() == there.track_id.tolist()
        np.testing.assert_array_equal(here.xyxy, there.xyxy)


@pytest.mark.parametrize(
    ("cameras", "offsets", "message"),
    [
        ([0, 3], [0, 1, 2], "camera row 1: camera 3 is not one of 3"),
        ([1, 1], [0, 1, 2], "camera row 1: camera 1 is named twice"),
        ([0, 1], [0, 2], "offsets has 2 entries; 2 cameras need 3"),
        ([0, 1], [0, 1, 1], "offsets runs from 0 to 1; it must run from 0 to 2"),
        ([0, 1, 2], [0, 3, 1, 2], "offsets row 2: 1 is less than 3 before it"),
    ],
)
def test_a_batch_that_does_not_fit_together_changes_no_camera(
    cameras: list[int], offsets: list[int], message: str
) -> None:
    tracker = MultiCameraTracker([30.0] * 3)
    bad = Detections(*GOOD, np.array(offsets, np.int32))
    with pytest.raises(ValueError, match=message):
        tracker.update(bad, np.array(cameras, np.int16))
    good = tracker.update(joined([GOOD] * 3))
    assert good.track_id.tolist() == [1, 2] * 3


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"high_score": 1.5}, "high_score must be within 0 and 1, not 1.5"),
        ({"match_limit": float("nan")}, "match_limit must be within 0 and 1, not nan"),
        ({"low_score": 0.6}, "low_score 0.6 must not be above high_score 0.5"),
        ({"buffer_s": -1}, "buffer_s must be within 0 and 1e6 seconds, not -1.0"),
        ({"frame_rate": 0}, "frame_rate must be above 0 and at most 1e6, not 0.0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ByteTracker(**keywords)
