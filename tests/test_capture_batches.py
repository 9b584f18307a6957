"""Mailboxes and joining, with frames put in by hand."""

from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.capture.batcher import Batcher
from spoton_edge.types import U8, FrameBatch

MS = 1_000_000


def image(value: int = 0) -> U8:
    return np.full((2, 2, 3), value, np.uint8)


def taken(batcher: Batcher) -> FrameBatch:
    batch = batcher.take(10.0)
    assert batch is not None
    return batch


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    batcher = Batcher(1, 100 * MS)
    batcher.open(0)
    for value in range(5):
        batcher.put(0, image(value), value * MS)
    batch = taken(batcher)
    assert batch.images[0][0, 0, 0] == 4
    assert batch.frame_id.tolist() == [4]
    assert batcher.counts(0)[:2] == (5, 4)


def test_a_batch_goes_at_once_when_every_open_camera_is_in_it() -> None:
    batcher = Batcher(3, 3_600_000 * MS)  # an hour: only completeness can end the wait
    for camera in (0, 2):
        batcher.open(camera)
        batcher.put(camera, image(), 7 * MS)
    assert taken(batcher).camera.tolist() == [0, 2]


def test_a_camera_that_is_shut_is_not_waited_for_but_its_last_frame_is_taken() -> None:
    batcher = Batcher(2, 3_600_000 * MS)
    batcher.open(0)
    batcher.open(1)
    batcher.put(0, image(), 0)
    batcher.put(1, image(), 0)
    batcher.shut(1)
    assert taken(batcher).camera.tolist() == [0, 1]
    batcher.put(0, image(), 0)
    assert taken(batcher).camera.tolist() == [0]


def test_a_silent_camera_holds_the_others_up_for_no_more_than_the_window() -> None:
    batcher = Batcher(2, 50 * MS)
    batcher.open(0)
    batcher.open(1)
    batcher.put(0, image(), 0)
    assert batcher.take(0.0) is None  # the other may still come
    assert taken(batcher).camera.tolist() == [0]


def test_a_camera_whose_next_frame_is_not_due_within_the_window_is_not_waited_for() -> None:
    batcher = Batcher(2, 3_600_000 * MS)
    batcher.open(0)
    batcher.open(1)
    for _ in range(3):  # camera 1 has a frame every 40 ms, camera 0 every 400 ms
        for _ in range(10):
            batcher.put(1, image(), time.monotonic_ns())
            time.sleep(0.004)
        batcher.put(0, image(), time.monotonic_ns())
    taken(batcher)
    batcher.put(1, image(), time.monotonic_ns())
    assert taken(batcher).camera.tolist() == [1]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8), st.integers(0, 300))
def test_what_is_joined_lies_within_the_window_and_nothing_is_lost(stamps: list[int], window: int) -> None:
    batcher = Batcher(len(stamps), window * MS)
    for camera, stamp in enumerate(stamps):
        batcher.open(camera)
        batcher.put(camera, image(camera), stamp * MS)
        batcher.shut(camera)
    seen: list[int] = []
    while len(seen) < len(stamps):
        batch = taken(batcher)
        assert batch.camera.tolist() == sorted(set(batch.camera.tolist()))
        assert batch.captured_ns.max() - batch.captured_ns.min() <= window * MS
        assert [int(picture[0, 0, 0]) for picture in batch.images] == batch.camera.tolist()
        assert [stamps[camera] * MS for camera in batch.camera] == batch.captured_ns.tolist()
        seen += batch.camera.tolist()
    assert sorted(seen) == list(range(len(stamps)))


def test_no_camera_starves_when_the_consumer_is_too_slow_and_the_window_narrow() -> None:
    cameras, period, window = 4, 100, 10
    batcher = Batcher(cameras, window * MS)
    for camera in range(cameras):
        batcher.open(camera)
    shares: Counter[int] = Counter()
    now = 0
    for _ in range(400):
        now += 150  # ms for each batch: more than the period
        for camera in range(cameras):
            last = (now - camera * 25) // period * period + camera * 25  # each in a phase of its own
            batcher.put(camera, image(), last * MS)
        batch = taken(batcher)
        shares.update(batch.camera.tolist())
    mean = sum(shares.values()) / cameras
    assert min(shares.values()) >= 0.8 * mean


@given(st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=8), min_size=1, max_size=4), st.integers(0, 100))
def test_lossless_batches_hold_every_frame_once_and_in_order(steps: list[list[int]], window: int) -> None:
    streams = [list(np.cumsum(camera).tolist()) for camera in steps]
    batcher = Batcher(len(streams), window * MS, lossless=True)
    for camera in range(len(streams)):
        batcher.open(camera)

    def feed(camera: int) -> None:
        for stamp in streams[camera]:
            assert batcher.put_all([(camera, image(), stamp * MS)])
        batcher.end(camera)

    readers = [threading.Thread(target=feed, args=(camera,)) for camera in range(len(streams))]
    for reader in readers:
        reader.start()
    seen: list[list[int]] = [[] for _ in streams]
    newest = 0
    while (batch := batcher.take(None)) is not None:
        assert batch.captured_ns.max() - batch.captured_ns.min() <= window * MS
        assert batch.captured_ns.min() >= newest - window * MS
        newest = int(batch.captured_ns.max())
        for camera, stamp in zip(batch.camera, batch.captured_ns, strict=True):
            seen[camera].append(int(stamp) // MS)
    for reader in readers:
        reader.join()
    assert seen == streams
    assert batcher.finished


def test_closing_releases_a_reader_that_waits_for_its_place() -> None:
    batcher = Batcher(1, MS, lossless=True)
    batcher.open(0)
    assert batcher.put_all([(0, image(), 0)])
    results: list[bool] = []
    reader = threading.Thread(target=lambda: results.append(batcher.put_all([(0, image(), 1)])))
    reader.start()
    batcher.close()
    reader.join(5.0)
    assert results == [False]


def test_a_burst_is_no_frame_rate() -> None:
    batcher = Batcher(1, MS)
    for _ in range(4):
        batcher.put(0, image(), 0)
    assert batcher.counts(0)[2] <= 6.0  # 3 periods in no time are taken for half a second at least
    for _ in range(100):
        batcher.put(0, image(), 0)
    assert batcher.counts(0)[2] > 60.0
