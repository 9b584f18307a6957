import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext.detection import ChosenDecoder, DetrDecoder, Yolov8Decoder, YoloxDecoder
from spoton_edge.decoding import decoder_of
from spoton_edge.detector import Detector
from spoton_edge.engine import TensorSpec
from spoton_edge.errors import ModelError
from spoton_edge.manifests import Manifest, manifest, parse_manifest
from spoton_edge.types import F4, FrameBatch
from tests import reference

YOLOX = manifest("yolox-nano")


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


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 60), seed=st.integers(0, 999), person=st.integers(0, 2))
def test_yolov8_heads_are_decoded_and_suppressed_like_their_slow_twin(rows: int, seed: int, person: int) -> None:
    rng = np.random.default_rng(seed)
    raw = np.concatenate([rng.uniform(0, 100, (2, rows)), rng.uniform(5, 60, (2, rows)), rng.choice(9, (3, rows)) / 8])
    raw = raw.astype(np.float32)
    xyxy, score = Yolov8Decoder(96, 96, person=person, min_score=0.25, max_iou=0.4).decode(raw)
    boxes, scores = reference.decode_yolov8(raw, person, 0.25)
    kept = reference.nms(boxes, scores, 0.4)
    np.testing.assert_array_equal(score, scores[kept])
    np.testing.assert_array_equal(xyxy, boxes[kept])


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 60), seed=st.integers(0, 999), person=st.integers(0, 2), joined=st.booleans())
def test_queries_are_decoded_like_their_slow_twin_and_not_suppressed(
    rows: int, seed: int, person: int, joined: bool
) -> None:
    rng = np.random.default_rng(seed)
    both = np.concatenate([rng.uniform(0, 1, (rows, 4)), rng.normal(0, 2, (rows, 3))], axis=1).astype(np.float32)
    boxes, scores = both[:, :4], both[:, 4:]
    if not joined:
        boxes, scores = boxes.copy(), scores.copy()
    xyxy, score = DetrDecoder(640, 480, person=person, min_score=0.3).decode(boxes, scores)
    expected, probabilities = reference.decode_detr(boxes, scores, 640, 480, person, 0.3)
    np.testing.assert_allclose(score, probabilities, rtol=1e-6)
    np.testing.assert_allclose(xyxy, expected, rtol=1e-5, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(0, 60), seed=st.integers(0, 999), person=st.integers(0, 2))
def test_what_a_graph_has_chosen_is_taken_up_to_its_count(rows: int, seed: int, person: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.column_stack([rng.uniform(0, 99, (rows, 4)), rng.choice(9, rows) / 8, rng.integers(0, 3, rows)])
    table = np.ascontiguousarray(table, np.float32)
    count = int(rng.integers(0, rows + 1))
    decoder = ChosenDecoder(96, 96, person=person, min_score=0.25, max_iou=1.0)
    xyxy, score = decoder.decode(table[:, :4], table[:, 4], table[:, 5], count)
    meant = [row for row in table[:count] if row[4] >= 0.25 and row[5] == person]
    meant.sort(key=lambda row: -row[4])
    np.testing.assert_array_equal(score, np.array([row[4] for row in meant], np.float32))
    np.testing.assert_array_equal(xyxy, np.array([row[:4] for row in meant], np.float32).reshape(-1, 4))


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 9999), rows=st.integers(1, 80), limit=st.sampled_from([0.2, 0.5, 0.65]))
def test_suppression_keeps_exactly_the_rows_of_its_slow_twin(seed: int, rows: int, limit: float) -> None:
    """Boxes on a coarse grid with few scores: full of ties, and of overlaps that are fractions of small numbers."""
    rng = np.random.default_rng(seed)
    raw = np.zeros((5, rows), np.float32)
    raw[:2] = rng.integers(0, 12, (2, rows))
    raw[2:4] = rng.integers(1, 8, (2, rows))
    raw[4] = rng.choice([0.25, 0.5, 0.75], rows)
    xyxy, score = Yolov8Decoder(32, 32, min_score=0.1, max_iou=limit).decode(raw)
    boxes, scores = reference.decode_yolov8(raw, 0, 0.1)
    kept = reference.nms(boxes, scores, float(np.float32(limit)))
    np.testing.assert_array_equal(xyxy, boxes[kept])
    np.testing.assert_array_equal(score, scores[kept])


def test_rows_that_are_not_finite_are_dropped_and_counted_in_every_family() -> None:
    nan, inf = np.nan, np.inf
    head = np.array([[1, nan], [1, 1], [1, 1], [1, 1], [0.9, 0.9]], np.float32)
    yolov8 = Yolov8Decoder(32, 32, min_score=0.5, max_iou=1.0)
    assert len(yolov8.decode(head)[0]) == 1
    detr = DetrDecoder(32, 32, min_score=0.5)
    assert len(detr.decode(np.array([[inf, 0, 0, 0], [0, 0, 1, 1]], np.float32), np.ones((2, 1), np.float32))[0]) == 1
    chosen = ChosenDecoder(32, 32, min_score=0.5, max_iou=1.0)
    rows = np.array([[0, 0, 1, 1], [0, 0, nan, 1]], np.float32)
    assert len(chosen.decode(rows, np.ones(2, np.float32), np.zeros(2, np.float32))[0]) == 1
    assert [decoder.bad_rows for decoder in (yolov8, detr, chosen)] == [1, 1, 1]


def test_outputs_of_another_shape_are_refused_in_every_family() -> None:
    with pytest.raises(ValueError, match="no class 7"):
        Yolov8Decoder(32, 32, person=7, min_score=0.5, max_iou=0.5).decode(np.zeros((6, 10), np.float32))
    with pytest.raises(ValueError, match="no class 3"):
        DetrDecoder(32, 32, person=3, min_score=0.5).decode(np.zeros((5, 4), np.float32), np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match="boxes 5x3"):
        DetrDecoder(32, 32, min_score=0.5).decode(np.zeros((5, 3), np.float32), np.zeros((5, 2), np.float32))
    rows = np.zeros((5, 6), np.float32)
    with pytest.raises(ValueError, match="9 of 5 rows"):
        ChosenDecoder(32, 32, min_score=0.5, max_iou=1.0).decode(rows[:, :4], rows[:, 4], rows[:, 5], 9)


def described(family: str, detector: str) -> Manifest:
    """A manifest of a family, for pictures of 96 x 64 shown whole, in RGB from 0 to 1."""
    return parse_manifest(
        f'''
name = "person"
kind = "detector"
family = "{family}"
about = "for tests"
licence = "none"
[input]
name = "images"
shape = ["batch", 3, "height", "width"]
colour = "rgb"
size = [96, 64]
fit = "stretch"
std = [255, 255, 255]
[output]
name = "output"
shape = ["batch", "rows", 6]
[detector]
person_class = 1
classes = 2
min_score = 0.1
{detector}
''',
        "person.toml",
    )


def row(*numbers: float) -> F4:
    return np.array([[numbers]], np.float32)


@pytest.mark.parametrize(
    ("family", "detector", "outputs"),
    [
        ("yolov8", "nms_iou = 0.7", {"output": row(48, 32, 48, 32, 0, 0.75).transpose(0, 2, 1)}),
        ("detr", "", {"output": row(0.5, 0.5, 0.5, 0.5, 0, 0.75)}),
        (
            "detr",
            'logits = true\nboxes_from = "pred_boxes"\nscores_from = "pred_logits"',
            {"pred_logits": row(-9, np.log(3)), "pred_boxes": row(0.5, 0.5, 0.5, 0.5)},
        ),
        ("chosen", "", {"output": row(24, 16, 72, 48, 0.75, 1)}),
        (
            "chosen",
            'count_from = "num"\nboxes_from = "boxes"\nscores_from = "scores"\nclasses_from = "classes"',
            {
                "num": np.array([[1]], np.float32),
                "boxes": np.tile(row(24, 16, 72, 48), (1, 2, 1)),
                "scores": np.array([[0.75, 0.9]], np.float32),
                "classes": np.array([[1, 1]], np.float32),
            },
        ),
    ],
)
def test_the_manifest_says_how_a_family_is_read(family: str, detector: str, outputs: dict[str, F4]) -> None:
    decoder = decoder_of(described(family, detector), list(outputs), (96, 64), 0.1)
    copies = [np.ascontiguousarray(np.concatenate([np.zeros_like(output), output])) for output in outputs.values()]
    xyxy, score = decoder.decode(copies, 1)
    np.testing.assert_allclose(xyxy, [[24, 16, 72, 48]])
    np.testing.assert_allclose(score, [0.75])


def test_an_output_that_the_network_lacks_is_named() -> None:
    with pytest.raises(ModelError, match=r"detector\.boxes_from is 'boxes'; the outputs are output"):
        decoder_of(described("chosen", 'boxes_from = "boxes"'), ["output"], (96, 64), 0.1)


class OnePerson:
    """An engine that sees one person, in every picture, in the middle cell of the coarsest grid."""

    backend = "test"
    inputs = (TensorSpec("images", (None, 3, 96, 96), "float32"),)
    outputs = (TensorSpec("output", (None, 189, 85), "float32"),)

    def __init__(self, log_size: float) -> None:
        self.log_size = log_size
        self.batches: list[int] = []
        self.calls: list[str] = []
        self._waiting: list[tuple[F4, ...]] = []

    def submit(self, batch: F4) -> None:
        self.calls.append("submit")
        self._waiting.append(self.infer(batch))

    def collect(self) -> tuple[F4, ...]:
        self.calls.append("collect")
        return self._waiting.pop(0)

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
    detector = Detector(OnePerson(0.0), YOLOX, input_size=(96, 96), min_score=0.5, max_batch=3)
    small, wide = np.zeros((96, 96, 3), np.uint8), np.zeros((96, 192, 3), np.uint8)
    detections = detector.detect(batch_of(small, wide))
    assert detections.offsets.tolist() == [0, 1, 2]
    np.testing.assert_allclose(detections.xyxy, [[32, 32, 64, 64], [64, 64, 128, 96]])
    np.testing.assert_allclose(detections.score, 0.9)


def test_boxes_end_at_the_edge_of_the_frame() -> None:
    detector = Detector(OnePerson(2.0), YOLOX, input_size=(96, 96), min_score=0.5, max_batch=1)
    detections = detector.detect(batch_of(np.zeros((96, 96, 3), np.uint8)))
    np.testing.assert_allclose(detections.xyxy, [[0, 0, 96, 96]])


def test_all_cameras_of_a_batch_go_through_one_engine_call() -> None:
    engine = OnePerson(0.0)
    detector = Detector(engine, YOLOX, input_size=(96, 96), min_score=0.5, max_batch=4)
    engine.batches.clear()
    detector.detect(batch_of(*[np.zeros((96, 96, 3), np.uint8)] * 4))
    assert engine.batches == [4]


def test_of_more_frames_than_fit_the_next_are_prepared_while_the_engine_computes() -> None:
    engine = OnePerson(0.0)
    detector = Detector(engine, YOLOX, input_size=(96, 96), min_score=0.5, max_batch=2)
    engine.batches.clear()
    frames = [np.zeros((96 * scale, 96 * scale, 3), np.uint8) for scale in range(1, 6)]
    detections = detector.detect(batch_of(*frames))
    assert engine.batches == [2, 2, 1]
    assert engine.calls == ["submit", "submit", "collect", "submit", "collect", "collect"]
    np.testing.assert_allclose(detections.xyxy, [np.multiply([32, 32, 64, 64], scale) for scale in range(1, 6)])


def test_a_model_that_does_not_fit_the_input_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match=r"detector.input \[64, 64\]"):
        Detector(OnePerson(0.0), YOLOX, input_size=(64, 64), min_score=0.5, max_batch=1)


class Watching(OnePerson):
    """Keeps what it was shown, and sees one query in the middle."""

    outputs = (TensorSpec("output", (None, 1, 6), "float32"),)

    def infer(self, batch: F4) -> tuple[F4, ...]:
        self.shown = batch.copy()
        return (np.tile(row(0.5, 0.5, 0.5, 0.5, 0, 0.75), (len(batch), 1, 1)),)


def test_frames_are_shown_as_the_manifest_says_and_stretched_boxes_come_back() -> None:
    engine = Watching(0.0)
    detector = Detector(engine, described("detr", ""), input_size=(96, 64), min_score=0.5, max_batch=1)
    frame = np.zeros((256, 192, 3), np.uint8)
    frame[:, :, 2] = 255
    detections = detector.detect(batch_of(frame))
    np.testing.assert_allclose(engine.shown[0].mean(axis=(1, 2)), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(detections.xyxy, [[48, 64, 144, 192]])
