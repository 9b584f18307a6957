"""Other cameras for a capture that runs: what stays is left alone, and no frame comes under a wrong name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from spoton_edge.capture import Capture, Source
from spoton_edge.errors import CameraError, UsageError
from spoton_edge.types import FrameBatch
from tests.footage import number_in, write_clip

WINDOW_MS, STALL_S = 50.0, 5.0


def change(capture: Capture, sources: Sequence[Source], numbers: Sequence[int]) -> None:
    capture.apply(capture.plan(sources, numbers, STALL_S), WINDOW_MS)


def frames(capture: Capture, camera: int) -> FrameBatch:
    """The next batch with this camera in it."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        batch = capture.take(0.1)
        if batch is not None and camera in batch.camera:
            return batch
    raise AssertionError(f"nothing of camera {camera}: {capture.status()}")


def test_no_frame_of_the_old_source_comes_after_the_change() -> None:
    shapes = {"test:64x64@60": (64, 64, 3), "test:96x48@60": (48, 96, 3)}
    steady = Source("steady", "test:32x32@30")
    with Capture([Source("a", "test:64x64@60"), steady], sync_window_ms=WINDOW_MS) as capture:
        reader = capture._readers[1]
        last = -1
        for url in list(shapes)[::-1] * 10:
            change(capture, [Source("a", url), steady], [0, 1])
            for _ in range(3):
                batch = frames(capture, 0)
                row = batch.camera.tolist().index(0)
                assert batch.images[row].shape == shapes[url]
                assert batch.frame_id[row] > last  # frames go on counting
                last = int(batch.frame_id[row])
        assert capture._readers[1] is reader
        assert reader.is_alive()


def test_a_plan_that_is_not_taken_leaves_everything_as_it_was(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(50))
    a = Source("a", "test:64x64@30")
    with Capture([a], sync_window_ms=WINDOW_MS) as capture:
        frames(capture, 0)
        readers, open_files = capture._readers[:], set(Path("/proc/self/fd").iterdir())
        plan = capture.plan([a, Source("b", str(clip))], [0, 1], STALL_S)
        plan.discard()
        assert capture._readers == readers
        assert len(set(Path("/proc/self/fd").iterdir())) <= len(open_files)
        with pytest.raises(CameraError, match="is not inside the picture"):
            capture.plan([a, Source("b", str(clip), crop=(0, 0, 999, 999))], [0, 1], STALL_S)
        with pytest.raises(CameraError, match="camera b"):
            capture.plan([a, Source("c", str(clip)), Source("b", str(tmp_path / "none.mp4"))], [0, 2, 1], STALL_S)
        assert capture.states() == {"a": "live"}
        frames(capture, 0)


def test_a_recording_that_joins_begins_at_its_beginning_and_now(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(100), rate=20)
    a = Source("a", "test:64x64@30")
    with Capture([a], sync_window_ms=WINDOW_MS) as capture:
        frames(capture, 0)
        time.sleep(0.3)
        began_ns = time.monotonic_ns()
        change(capture, [a, Source("b", str(clip))], [0, 1])
        batch = frames(capture, 1)
        row = batch.camera.tolist().index(1)
        assert number_in(batch.images[row]) < 20
        assert batch.captured_ns[row] >= began_ns
        assert capture.formats()[1].size == (192, 96)


def test_a_camera_that_was_taken_away_ends_and_its_number_stays_free() -> None:
    a, b, c = (Source(name, f"test:{size}x{size}@30") for name, size in (("a", 32), ("b", 48), ("c", 64)))
    with Capture([a, b], sync_window_ms=WINDOW_MS) as capture:
        frames(capture, 1)
        gone = capture._readers[1]
        change(capture, [c, a], [2, 0])
        assert list(capture.states()) == ["c", "a"]  # as the config has them
        gone.join(10.0)
        assert not gone.is_alive()
        seen = {int(number) for _ in range(20) for number in frames(capture, 0).camera}
        assert seen <= {0, 2}
        change(capture, [a, b], [0, 1])
        batch = frames(capture, 1)
        assert batch.images[batch.camera.tolist().index(1)].shape == (48, 48, 3)


def test_in_fast_pace_cameras_stay_as_they_are(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(20))
    a = Source("a", str(clip))
    with Capture([a], pace="fast") as capture:
        with pytest.raises(UsageError, match="--fast"):
            capture.plan([a, Source("b", str(clip))], [0, 1], STALL_S)
        change(capture, [a], [0])
        numbers = [number_in(image) for batch in capture for image in batch.images]
    assert np.array_equal(numbers, range(20))
