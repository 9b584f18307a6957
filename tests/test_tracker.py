"""The track stage: batches of some of the cameras in, tracklets out."""

import numpy as np
import pytest

from spoton_edge.tracker import Tracker
from spoton_edge.types import Detections, FrameBatch, TrackState


def batch_of(cameras: list[int], at_ns: int = 0) -> FrameBatch:
    size = len(cameras)
    captured = at_ns + np.arange(size, dtype=np.int64)
    return FrameBatch(
        np.array(cameras, np.int16), np.zeros(size, np.int64), captured, [np.zeros((1, 1, 3), np.uint8)] * size
    )


def people_at(*lefts: list[float]) -> Detections:
    """One list for each image: people 40 px wide and 100 px high, at these left edges."""
    xyxy = [[left, 50, left + 40, 150] for image in lefts for left in image]
    offsets = np.cumsum([0, *map(len, lefts)]).astype(np.int32)
    return Detections(np.array(xyxy, np.float32).reshape(-1, 4), np.full(len(xyxy), 0.9, np.float32), offsets)


def test_ids_count_from_one_in_each_camera_and_rows_follow_the_batch() -> None:
    tracker = Tracker([30.0, 30.0, 30.0])
    tracklets = tracker.update(batch_of([0, 2], at_ns=70), people_at([10, 200], [300]))
    assert tracklets.camera.tolist() == [0, 0, 2]
    assert tracklets.track_id.tolist() == [1, 2, 1]
    assert tracklets.captured_ns.tolist() == [70, 70, 71]
    assert tracklets.state.tolist() == [TrackState.VISIBLE] * 3
    assert tracklets.xyxy[:, 0].tolist() == pytest.approx([10, 200, 300])
    assert np.isnan(tracklets.ground_xy).all()
    assert not tracklets.has_embedding.any()


def test_a_camera_that_is_not_in_the_batch_stands_still() -> None:
    tracker = Tracker([30.0, 30.0], buffer_s=0.1)
    tracker.update(batch_of([0, 1]), people_at([10], [10]))
    for _ in range(50):
        tracker.update(batch_of([0]), people_at([]))
    again = tracker.update(batch_of([0, 1]), people_at([10], [10]))
    assert again.track_id.tolist() == [1]
    assert again.camera.tolist() == [1]  # camera 0 forgot its person long ago; the newcomer is not confirmed yet


def test_a_skipped_detection_yields_the_predicted_boxes_as_coasting() -> None:
    tracker = Tracker([30.0])
    for frame in range(10):
        tracker.update(batch_of([0]), people_at([10.0 + 5 * frame]))
    coasting = tracker.predict(batch_of([0]))
    assert coasting.state.tolist() == [TrackState.COASTING]
    assert coasting.xyxy[0, 0] == pytest.approx(60, abs=1)
    seen = tracker.update(batch_of([0]), people_at([65]))
    assert seen.track_id.tolist() == [1]
    assert seen.state.tolist() == [TrackState.VISIBLE]


def test_a_forgotten_camera_starts_anew_but_its_ids_go_on_counting() -> None:
    tracker = Tracker([30.0, 30.0])
    tracker.update(batch_of([0, 1]), people_at([10, 200], [10]))
    tracker.forget(0)
    tracklets = tracker.update(batch_of([0, 1]), people_at([10], [10]))
    assert tracklets.camera.tolist() == [0, 1]
    assert tracklets.track_id.tolist() == [3, 1]


def test_an_empty_batch_gives_no_tracklets() -> None:
    tracklets = Tracker([30.0]).update(batch_of([]), people_at())
    assert len(tracklets) == 0


def test_detections_that_do_not_fit_the_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets has 2 entries; 2 cameras need 3"):
        Tracker([30.0, 30.0]).update(batch_of([0, 1]), people_at([10]))


def test_cameras_in_addition_and_other_numbers_leave_tracks_and_ids_as_they_are() -> None:
    box = np.array([[10, 10, 50, 110]], np.float32)

    def seen(*scores: float) -> Detections:
        offsets = np.arange(len(scores) + 1, dtype=np.int32)
        return Detections(np.repeat(box, len(scores), axis=0), np.array(scores, np.float32), offsets)

    def frames(*cameras: int) -> FrameBatch:
        zero = np.zeros(len(cameras), np.int64)
        return FrameBatch(np.array(cameras, np.int16), zero, zero, [])

    tracker = Tracker([30.0, 30.0])
    for _ in range(3):
        before = tracker.update(frames(0, 1), seen(0.9, 0.9))
    assert before.track_id.tolist() == [1, 1]
    with pytest.raises(ValueError, match="must name 2 to"):
        tracker.reconfigure([30.0])
    with pytest.raises(ValueError, match="low_score"):
        tracker.reconfigure([30.0] * 3, low_score=0.9, high_score=0.1)
    tracker.reconfigure([30.0] * 3, new_score=0.95, buffer_s=0.1)
    after = tracker.update(frames(0, 1, 2), seen(0.9, 0.9, 0.9))
    assert after.camera.tolist() == [0, 1]  # 0.9 starts nobody any more
    assert after.track_id.tolist() == [1, 1]
    for _ in range(5):  # longer than 0.1 s at 30 Hz
        assert len(tracker.update(frames(0), seen(0.0))) == 0
    tracker.reconfigure([30.0] * 3)
    again = [tracker.update(frames(0, 1), seen(0.9, 0.9)) for _ in range(2)][1]
    assert again.track_id.tolist() == [2, 1]  # the first was lost for too long, the second only stood still
