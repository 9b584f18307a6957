"""From a detector's outputs to people in network pixels, one way a family of networks; the manifest says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from spoton_edge._ext.detection import ChosenDecoder, DetrDecoder, Yolov8Decoder, YoloxDecoder
from spoton_edge.errors import ModelError
from spoton_edge.manifests import Manifest
from spoton_edge.types import F4


class PeopleDecoder(Protocol):
    """Reads one picture's people from the outputs of a batch."""

    @property
    def bad_rows(self) -> int:
        """Candidates dropped because the network's output was not finite."""

    def decode(self, outputs: Sequence[F4], image: int) -> tuple[F4, F4]:
        """(xyxy f4 (N, 4) in network pixels, score f4 (N,)) of picture `image` of the batch, best first, fresh arrays.
        Raises ValueError where the outputs are not of this family."""


class OneHead:
    """YOLOX, and YOLOv8 as it is exported: one output with everything in it."""

    def __init__(self, decoder: YoloxDecoder | Yolov8Decoder) -> None:
        self._decoder = decoder

    @property
    def bad_rows(self) -> int:
        """See PeopleDecoder.bad_rows."""
        return self._decoder.bad_rows

    def decode(self, outputs: Sequence[F4], image: int) -> tuple[F4, F4]:
        """See PeopleDecoder.decode."""
        return self._decoder.decode(outputs[0][image])


class Queries:
    """RT-DETR, D-FINE: boxes and scores in two outputs, or side by side in one."""

    def __init__(self, decoder: DetrDecoder, boxes: int, scores: int) -> None:
        """boxes, scores: numbers of the outputs; equal where there is one for both."""
        self._decoder, self._boxes, self._scores = decoder, boxes, scores

    @property
    def bad_rows(self) -> int:
        """See PeopleDecoder.bad_rows."""
        return self._decoder.bad_rows

    def decode(self, outputs: Sequence[F4], image: int) -> tuple[F4, F4]:
        """See PeopleDecoder.decode."""
        boxes, scores = outputs[self._boxes][image], outputs[self._scores][image]
        if self._boxes == self._scores:
            boxes, scores = boxes[:, :4], boxes[:, 4:]
        return self._decoder.decode(boxes, scores)


class Chosen:
    """Graphs that end in suppression: [x1, y1, x2, y2, score, class] rows in one output, or outputs of their own."""

    def __init__(self, decoder: ChosenDecoder, boxes: int, scores: int, classes: int, count: int | None) -> None:
        """Numbers of the outputs; count: of the one that says how many rows are meant, None: all."""
        self._decoder = decoder
        self._boxes, self._scores, self._classes, self._count = boxes, scores, classes, count

    @property
    def bad_rows(self) -> int:
        """See PeopleDecoder.bad_rows."""
        return self._decoder.bad_rows

    def decode(self, outputs: Sequence[F4], image: int) -> tuple[F4, F4]:
        """See PeopleDecoder.decode."""
        rows = outputs[self._boxes][image]
        count = -1 if self._count is None else int(outputs[self._count][image].item())
        if self._boxes == self._scores:
            return self._decoder.decode(rows[:, :4], rows[:, 4], rows[:, 5], count)
        scores, classes = (np.ravel(outputs[number][image]) for number in (self._scores, self._classes))
        return self._decoder.decode(rows, scores, classes, count)


def decoder_of(manifest: Manifest, names: Sequence[str], size: tuple[int, int], min_score: float) -> PeopleDecoder:
    """The decoder of a detector's manifest. names: of the engine's outputs, in order; size: width, height of the input.

    Raises ModelError where the manifest names an output that the network does not have, or no family of detectors.
    """
    spec = manifest.detector
    assert spec is not None
    width, height = size
    person, max_iou = spec.person_class, spec.nms_iou

    def number(key: str, default: int | None) -> int | None:
        name = getattr(spec, key)
        if name is None:
            return default
        if name not in names:
            raise ModelError(f"{manifest.name}: detector.{key} is {name!r}; the outputs are {', '.join(names)}")
        return list(names).index(name)

    boxes = number("boxes_from", 0) or 0
    scores = number("scores_from", boxes)
    classes = number("classes_from", boxes)
    assert scores is not None
    assert classes is not None
    match manifest.family:
        case "yolox":
            return OneHead(YoloxDecoder(width, height, person=person, min_score=min_score, max_iou=max_iou))
        case "yolov8":
            return OneHead(Yolov8Decoder(width, height, person=person, min_score=min_score, max_iou=max_iou))
        case "detr":
            queries = DetrDecoder(width, height, person=person, min_score=min_score, logits=spec.logits)
            return Queries(queries, boxes, scores)
        case "chosen":
            chosen = ChosenDecoder(width, height, person=person, min_score=min_score, max_iou=max_iou)
            return Chosen(chosen, boxes, scores, classes, number("count_from", None))
        case family:
            raise ModelError(f"{manifest.name}: {family or 'no family'} is no family of detectors")
