import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext.detection import YoloxDecoder
from spoton_edge.detector import Detector
from spoton_edge.engine import TensorSpec
from spoton_edge.errors import ModelError
from spoton_edge.types import F4, FrameBatch
from tests import reference


def raw_head(width: int, height: int, people: int, seed: int) -> F4:
    """A YOLOX head of random cells, `people` of them confident."""
    rng = np.random.default_rng(seed)
    cells = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    raw = rng.normal(0, 1, (cells, 85)).astype(np.float32)
    raw[:, 4:] = rng.uniform(0, 0.3, (cells, 81))
    for row in rng.choice(cells, people):
        raw[row, 4:6] = rng.choice([0.5, 0.75, 1.0], 2)
    return raw


@settings(deadline=None, max_examples=40)
@given(people=st.integers(0, 40), seed=st.integers(0, 999), person=st.integers(0, 3))
def test_decoding_and_suppression_equal_their_slow_twins(people: int, seed: int, person: int) -> None:
    raw = raw_head(96, 64, people, seed)
    xyxy, score = YoloxDecoder(96, 64, person=person, min_score=0.05, max_iou=0.4).decode(raw)
    boxes, scores = reference.decode_yolox(raw, 96, 64, person, 0.05)
    kept = reference.nms(boxes, scores, 0.4)
    np.testing.assert_array_equal(score, scores[kept])
    np.testing.assert_allclose(xyxy, boxes[kept], rtol=1e-5, atol=1e-3)


def test_candidates_that_are_not_finite_are_dropped_and_counted() -> None:
    raw = np.zeros((21, 85), np.float32)
    raw[:, 4:6] = 1
    raw[3, 2] = np.nan
    raw[5, 3] = 1e6
    decoder = YoloxDecoder(32, 32, min_score=0.5, max_iou=1.0)
    xyxy, _ = decoder.decode(raw)
    assert len(xyxy) == 19
    assert decoder.bad_rows == 2


def test_a_head_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not a YOLOX head of 32x32"):
        YoloxDecoder(32, 32, min_score=0.5, max_iou=0.5).decode(np.zeros((20, 85), np.float32))
    with pytest.raises(ValueError, match="multiple of 32"):
        YoloxDecoder(33, 32, min_score=0.5, max_iou=0.5)


class OnePerson:
    """An engine that sees one person, in every picture, in the middle cell of the coarsest grid."""

    backend = "test"
    inputs = (TensorSpec("images", (None, 3, 96, 96), "tensor(float)"),)
    outputs = (TensorSpec("output", (None, 189, 85), "tensor(float)"),)

    def __init__(self, log_size: float) -> None:
        self.log_size = log_size
        self.batches: list[int] = []

    def infer(self, batch: F4) -> tuple[F4, ...]:
        self.batches.append(len(batch))
        raw = np.zeros((len(batch), 189, 85), np.float32)
        middle = 144 + 36 + 4
        raw[:, middle, :6] = [0.5, 0.5, self.log_size, self.log_size, 1, 0.9]
        return (raw,)


def batch_of(*images: np.ndarray) -> FrameBatch:
    count = len(images)
    return FrameBatch(
        np.arange(count, dtype=np.int16), np.zeros(count, np.int64), np.zeros(count, np.int64), list(images)
    )


def test_boxes_come_back_in_pixels_of_each_frame() -> None:
    detector = Detector(OnePerson(0.0), input_size=(96, 96), min_score=0.5, max_iou=0.5, max_batch=3)
    small, wide = np.zeros((96, 96, 3), np.uint8), np.zeros((96, 192, 3), np.uint8)
    detections = detector.detect(batch_of(small, wide))
    assert detections.offsets.tolist() == [0, 1, 2]
    np.testing.assert_allclose(detections.xyxy, [[32, 32, 64, 64], [64, 64, 128, 96]])
    np.testing.assert_allclose(detections.score, 0.9)


def test_boxes_end_at_the_edge_of_the_frame() -> None:
    detector = Detector(OnePerson(2.0), input_size=(96, 96), min_score=0.5, max_iou=0.5, max_batch=1)
    detections = detector.detect(batch_of(np.zeros((96, 96, 3), np.uint8)))
    np.testing.assert_allclose(detections.xyxy, [[0, 0, 96, 96]])


def test_all_cameras_of_a_batch_go_through_one_engine_call() -> None:
    engine = OnePerson(0.0)
    detector = Detector(engine, input_size=(96, 96), min_score=0.5, max_iou=0.5, max_batch=4)
    engine.batches.clear()
    detector.detect(batch_of(*[np.zeros((96, 96, 3), np.uint8)] * 4))
    assert engine.batches == [4]


def test_a_model_that_does_not_fit_the_input_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match=r"detector.input \[64, 64\]"):
        Detector(OnePerson(0.0), input_size=(64, 64), min_score=0.5, max_iou=0.5, max_batch=1)
