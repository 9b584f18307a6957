"""Capture of recordings: pacing, joining, cropping, and what becomes of damaged ones."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from spoton_edge.capture import Capture, Source, save_snapshot
from spoton_edge.errors import CameraError, UsageError
from spoton_edge.types import FrameBatch
from tests.footage import number_in, picture, write_clip
from tests.process import resident_bytes


def batches_of(sources: list[Source], **options: object) -> list[tuple[list[int], list[int], list[int], list[int]]]:
    """(cameras, frame ids, stamps from the first, numbers in the pictures) of every batch of a fast run."""
    rows = []
    with Capture(sources, pace="fast", **options) as capture:  # type: ignore[arg-type]
        for batch in capture:
            rows.append(
                (
                    batch.camera.tolist(),
                    batch.frame_id.tolist(),
                    batch.captured_ns.tolist(),
                    [number_in(image) for image in batch.images],
                )
            )
    start = rows[0][2][0] if rows else 0
    return [(cameras, ids, [stamp - start for stamp in stamps], numbers) for cameras, ids, stamps, numbers in rows]


def capture_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("capture-")]


def test_every_frame_of_a_recording_is_delivered_exactly_once_in_fast_pace(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(40))
    rows = batches_of([Source("a", str(clip))])
    assert [row[3] for row in rows] == [[n] for n in range(40)]
    assert [row[1] for row in rows] == [[n] for n in range(40)]
    assert [row[2] for row in rows] == [[n * 100_000_000] for n in range(40)]


def test_the_same_recordings_give_the_same_batches(tmp_path: Path) -> None:
    a = write_clip(tmp_path / "a.avi", range(30), rate=10)
    b = write_clip(tmp_path / "b.mp4", range(100, 145), rate=15)
    sources = [Source("a", str(a)), Source("b", str(b))]
    first = batches_of(sources, sync_window_ms=40)
    assert first == batches_of(sources, sync_window_ms=40)
    assert [n for row in first for c, n in zip(row[0], row[3], strict=True) if c == 0] == list(range(30))
    assert [n for row in first for c, n in zip(row[0], row[3], strict=True) if c == 1] == list(range(100, 145))
    assert all(max(row[2]) - min(row[2]) <= 40_000_000 for row in first)
    assert {len(row[0]) for row in first} == {1, 2}


def test_two_crops_of_one_file_are_decoded_once_and_share_their_stamps(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(20))
    whole = Source("whole", str(clip))
    left = Source("left", str(clip), crop=(0, 0, 96, 96))
    right = Source("right", str(clip), crop=(64, 10, 192, 96))
    with Capture([whole, left, right], pace="fast") as capture:
        assert len(capture_threads()) == 1
        count = 0
        for batch in capture:
            count += 1
            assert batch.camera.tolist() == [0, 1, 2]
            assert len(set(batch.captured_ns.tolist())) == 1
            np.testing.assert_array_equal(batch.images[1], batch.images[0][0:96, 0:96])
            np.testing.assert_array_equal(batch.images[2], batch.images[0][10:96, 64:192])
            assert all(image.flags.c_contiguous and image.dtype == np.uint8 for image in batch.images)
    assert count == 20


def test_a_crop_from_an_odd_corner_is_the_slice_of_the_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(3))
    with Capture([Source("a", str(clip)), Source("b", str(clip), crop=(33, 7, 128, 90))], pace="fast") as capture:
        for batch in capture:
            np.testing.assert_array_equal(batch.images[1], batch.images[0][7:90, 33:128])


def test_a_slow_consumer_gets_the_newest_frame_and_the_rest_are_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(30), rate=30)
    with Capture([Source("a", str(clip))], pace="realtime") as capture:
        while capture.status()[0].state != "ended":
            time.sleep(0.01)
        batch = capture.take(1.0)
        assert batch is not None
        assert number_in(batch.images[0]) == 29
        assert batch.frame_id.tolist() == [29]
        assert capture.take(0.1) is None
        assert capture.finished
        status = capture.status()[0]
    assert (status.frames, status.dropped, status.bad_frames) == (30, 29, 0)


def test_a_recording_runs_by_its_own_clock_in_real_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(12), rate=20)
    ages, stamps = [], []
    with Capture([Source("a", str(clip))], pace="realtime") as capture:
        for batch in capture:
            ages.append(capture.now_ns() - int(batch.captured_ns[0]))
            stamps.append(int(batch.captured_ns[0]))
    assert min(ages) >= 0  # never a frame from the future: it was waited for
    assert all(after - before >= 50_000_000 for before, after in itertools.pairwise(stamps))


def test_the_newest_stamp_of_a_batch_is_now_when_it_is_taken_in_fast_pace(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(5), rate=1)
    with Capture([Source("a", str(clip))], pace="fast") as capture:
        for batch in capture:
            before = capture.now_ns()
            assert 0 <= before - int(batch.captured_ns.max()) < 900_000_000
            assert capture.now_ns() >= before


def test_a_camera_whose_recording_ends_first_does_not_hold_up_the_others(tmp_path: Path) -> None:
    short = write_clip(tmp_path / "short.avi", range(5))
    long = write_clip(tmp_path / "long.avi", range(15))
    with Capture([Source("short", str(short)), Source("long", str(long))], pace="fast") as capture:
        cameras = [batch.camera.tolist() for batch in capture]
        states = [(event.camera, event.detail) for event in capture.events()]
        assert capture.events() == []
    assert cameras == [[0, 1]] * 5 + [[1]] * 10
    assert [detail for camera, detail in states if camera == 0] == ["live", "ended"]
    assert [detail for camera, detail in states if camera == 1] == ["live", "ended"]


def test_clock_offsets_move_a_cameras_stamps(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(6))
    sources = [Source("a", str(clip)), Source("late", str(clip), clock_offset_ms=200.0)]
    rows = batches_of(sources, sync_window_ms=50)
    pairs = [row[3] for row in rows if len(row[3]) == 2]
    assert pairs == [[2, 0], [3, 1], [4, 2], [5, 3]]
    assert sum(len(row[3]) for row in rows) == 12


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (b"not a video\n" * 50, "no video")])
def test_a_file_that_is_no_video_is_one_clear_line_at_start(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    good = write_clip(tmp_path / "good.avi", range(3))
    with pytest.raises(CameraError) as raised:
        Capture([Source("good", str(good)), Source("c09", str(path))]).start()
    text = str(raised.value)
    assert "c09" in text
    assert str(path) in text
    assert says in text
    assert "\n" not in text
    assert capture_threads() == []


def test_a_crop_outside_the_picture_names_both_sizes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(3))
    with pytest.raises(CameraError, match=r"c09.*\[0, 0, 448, 576\].*192x96"):
        Capture([Source("c09", str(clip), crop=(0, 0, 448, 576))]).start()


def test_fast_pace_refuses_a_live_camera() -> None:
    with pytest.raises(CameraError, match="c09"):
        Capture([Source("c09", "rtsp://127.0.0.1:9/x")], pace="fast")


def test_a_truncated_recording_gives_what_it_holds_and_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", range(60), codec="mpeg2video")
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    with Capture([Source("a", str(clip))], pace="fast") as capture:
        numbers = [number_in(batch.images[0]) for batch in capture]
        assert capture.status()[0].state == "ended"
    assert len(numbers) >= 20
    assert numbers[:20] == list(range(20))


def test_a_frame_rate_that_changes_on_the_way_keeps_the_times_of_the_pictures(tmp_path: Path) -> None:
    times = [*range(20), *range(20, 60, 4), *range(60, 70)]  # 20 frames a second, 5, and 20 again
    clip = write_clip(tmp_path / "a.mkv", range(len(times)), rate=20, times=times)
    rows = batches_of([Source("a", str(clip))])
    assert [row[3][0] for row in rows] == list(range(len(times)))
    assert [row[2][0] for row in rows] == [time * 50_000_000 for time in times]


def test_an_absurdly_large_picture_is_counted_and_skipped(tmp_path: Path) -> None:
    for number in range(6):
        image = np.full((9000, 9000), 90, np.uint8) if number == 3 else picture(number)
        assert cv2.imwrite(str(tmp_path / f"{number:06d}.jpg"), image)
    with Capture([Source("a", str(tmp_path / "%06d.jpg"))], pace="fast") as capture:
        numbers = [number_in(batch.images[0]) for batch in capture]
        status = capture.status()[0]
    assert numbers == [0, 1, 2, 4, 5]
    assert status.bad_frames == 1
    assert status.state == "ended"


def test_garbage_in_the_middle_is_counted_and_survived(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(60), codec="mjpeg", key_every=1)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(7).integers(0, 256, 6000, np.uint8).tobytes()
    clip.write_bytes(bytes(data))
    with Capture([Source("a", str(clip))], pace="fast") as capture:
        numbers = [number_in(batch.images[0]) for batch in capture]
        status = capture.status()[0]
    assert status.bad_frames > 0
    assert status.state == "ended"
    assert numbers[:10] == list(range(10))
    assert numbers[-10:] == list(range(50, 60))


def test_stop_ends_a_run_in_the_middle_and_leaves_no_thread(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(50))
    for pace in ("fast", "realtime"):
        capture = Capture([Source("a", str(clip))], pace=pace)  # type: ignore[arg-type]
        capture.start()
        assert capture.take(5.0) is not None
        capture.stop()
        assert capture_threads() == []
        assert capture.take(None) is None
        assert capture.finished


def test_a_consumer_that_waits_is_released_by_stop(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", range(2), rate=1)
    capture = Capture([Source("a", str(clip))], pace="realtime")
    taken: list[FrameBatch | None] = []
    with capture:
        capture.take(1.0)
        consumer = threading.Thread(target=lambda: taken.append(capture.take(None)))
        consumer.start()
    consumer.join(5.0)
    assert not consumer.is_alive()
    assert taken == [None]


def of_sizes(path: Path, *sizes: tuple[int, int]) -> str:
    """Ten pictures of each size; MPEG-TS may be joined byte by byte, each part announces its size itself."""
    parts = [
        write_clip(path / f"part{index}.ts", range(10 * index, 10 * index + 10), codec="mpeg2video", size=size)
        for index, size in enumerate(sizes)
    ]
    joined = path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    return str(joined)


def test_pictures_of_another_size_are_delivered_in_their_own_where_nothing_depends_on_it(tmp_path: Path) -> None:
    clip = of_sizes(tmp_path, (192, 96), (384, 192), (192, 144))
    with Capture([Source("a", clip)], pace="fast") as capture:
        shapes = [batch.images[0].shape[:2] for batch in capture]
    assert [shape for shape, _ in itertools.groupby(shapes)] == [(96, 192), (192, 384), (144, 192)]


def test_pictures_of_another_size_and_the_same_shape_are_scaled_for_crop_and_calibration(tmp_path: Path) -> None:
    clip = of_sizes(tmp_path, (192, 96), (384, 192))
    sources = [Source("calibrated", clip, size=(192, 96)), Source("cropped", clip, crop=(0, 0, 96, 96))]
    with Capture(sources, pace="fast") as capture:
        batches = [(batch.camera.tolist(), batch.images) for batch in capture]
    assert len(batches) >= 18
    numbers = [number_in(images[0]) for _, images in batches]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 19
    for cameras, (calibrated, cropped) in batches:
        assert cameras == [0, 1]
        assert calibrated.shape == (96, 192, 3)
        assert cropped.shape == (96, 96, 3)
        difference = np.abs(calibrated[:, :96].astype(int) - cropped)
        assert np.median(difference) <= 4  # scaled before or after cropping: the same place


def test_a_calibration_for_a_smaller_picture_is_served_with_scaled_frames(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.avi", range(3)))
    with Capture([Source("c", clip, size=(96, 48)), Source("d", clip, crop=(0, 0, 96, 96), size=(48, 48))]) as capture:
        assert [frames.size for frames in capture.formats()] == [(96, 48), (48, 48)]
        batch = capture.take(10.0)
        assert batch is not None
        assert [image.shape for image in batch.images] == [(48, 96, 3), (48, 48, 3)]


def test_pictures_of_another_shape_are_refused_for_that_camera_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = of_sizes(tmp_path, (192, 96), (192, 144), (192, 96))
    with Capture([Source("whole", clip), Source("calibrated", clip, size=(192, 96))], pace="fast") as capture:
        seen = [(batch.camera.tolist(), number_in(batch.images[0])) for batch in capture]
        states = [event.detail for event in capture.events() if event.camera == 1]
        bad = [status.bad_frames for status in capture.status()]
    assert [n for cameras, n in seen if 1 in cameras and 10 <= n < 20] == []
    assert {n for cameras, n in seen if 1 in cameras} >= {0, 8, 21, 29}  # a frame at a seam may be lost
    assert {n for _, n in seen} >= set(range(11, 19))
    assert states == ["live", "offline", "live", "ended"]
    assert bad[1] >= 8
    lines = [record.getMessage() for record in caplog.records if "another shape" in record.getMessage()]
    assert len(lines) == 1
    assert "calibrated" in lines[0]
    assert "192x144" in lines[0]
    assert "192x96" in lines[0]


def test_a_recording_of_another_shape_than_its_calibration_is_refused_at_start(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.avi", range(3)))
    with pytest.raises(CameraError, match=r"c09.*192x96.*calibration.*640x480"):
        Capture([Source("c09", clip, size=(640, 480))]).start()


def test_numbered_pictures_are_a_recording_with_the_given_rate(tmp_path: Path) -> None:
    for number in range(7, 15):
        cv2.imwrite(str(tmp_path / f"{number:06d}.png"), picture(number))
    rows = batches_of([Source("a", str(tmp_path / "%06d.png"), rate_hz=5)])
    assert [row[3] for row in rows] == [[n] for n in range(7, 15)]
    assert [row[2][0] for row in rows] == [n * 200_000_000 for n in range(8)]


def test_numbered_pictures_that_are_not_there_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"c09.*no picture %06d.jpg"):
        Capture([Source("c09", str(tmp_path / "%06d.jpg"))]).start()


def test_a_test_pattern_has_the_size_and_rate_of_its_name() -> None:
    with Capture([Source("a", "test:320x200@50")], pace="fast") as capture:
        first, second = capture.take(5.0), capture.take(5.0)
    assert first is not None
    assert second is not None
    assert first.images[0].shape == (200, 320, 3)
    assert int(second.captured_ns[0] - first.captured_ns[0]) == 20_000_000


def test_a_test_pattern_with_a_wrong_size_is_one_clear_line() -> None:
    with pytest.raises(CameraError, match=r"c09.*test:640x360@15"):
        Capture([Source("c09", "test:big")]).start()


def test_the_real_clip_gives_two_virtual_cameras(shared_data: Path) -> None:
    clip = str(shared_data / "pets09_s2l1_view1" / "vtest.avi")
    sources = [Source("w", clip, crop=(0, 0, 448, 576)), Source("e", clip, crop=(320, 0, 768, 576))]
    count = 0
    with Capture(sources, pace="fast") as capture:
        for batch in capture:
            assert batch.frame_id.tolist() == [count, count]
            assert [image.shape for image in batch.images] == [(576, 448, 3)] * 2
            if count % 100 == 0:  # the shared strip is the same pixels
                np.testing.assert_array_equal(batch.images[0][:, 320:], batch.images[1][:, :128])
            count += 1
    assert count == 795


def test_a_snapshot_is_the_first_picture_of_the_camera_in_its_crop(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.avi", range(5, 9)))
    image = save_snapshot(Source("c", clip, crop=(0, 0, 100, 96)), tmp_path / "c.png")
    with Capture([Source("c", clip, crop=(0, 0, 100, 96))], pace="fast") as capture:
        first = next(iter(capture)).images[0]
    np.testing.assert_array_equal(image, first)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "c.png")), first)
    save_snapshot(Source("c", clip), tmp_path / "c.jpg")
    assert number_in(cv2.imread(str(tmp_path / "c.jpg"))) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.avi", "c.jpg", "c.png"]


def test_a_snapshot_that_cannot_be_written_or_taken_is_one_clear_line(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.avi", range(2)))
    with pytest.raises(UsageError, match=r"\.jpg or \.png"):
        save_snapshot(Source("c", clip), tmp_path / "c.tiff")
    with pytest.raises(UsageError, match="no folder"):
        save_snapshot(Source("c", clip), tmp_path / "absent" / "c.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UsageError, match=r"folder\.jpg"):
        save_snapshot(Source("c", clip), tmp_path / "folder.jpg")
    with pytest.raises(CameraError, match="No such file"):
        save_snapshot(Source("c", str(tmp_path / "absent.mp4")), tmp_path / "c.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.avi", "folder.jpg"]


def test_memory_does_not_grow_with_time() -> None:
    before = 0
    with Capture([Source("a", "test:640x360"), Source("b", "test:640x360", crop=(2, 2, 400, 300))], pace="fast") as run:
        for count, batch in enumerate(run):
            assert len(batch) == 2
            if count == 300:
                before = resident_bytes()
            if count == 1500:
                break
    # 1,200 pictures of 675 KiB and as many crops went by.
    assert resident_bytes() - before < 8 << 20
