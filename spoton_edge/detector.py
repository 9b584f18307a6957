"""People in frames: one engine call for all cameras of a batch."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext.detection import YoloxDecoder
from spoton_edge._ext.letterbox import Normalisation, letterbox
from spoton_edge.engine import Engine
from spoton_edge.errors import ModelError
from spoton_edge.types import Detections, FrameBatch


class Detector:
    """A YOLOX person detector (Ge et al. 2021) over a batch of frames of any sizes.

    Each frame is letterboxed to the input size; boxes come back in pixels of the frame and end at its edge.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        input_size: tuple[int, int],
        min_score: float,
        max_iou: float,
        person: int = 0,
        pad: float = 114.0,
        max_batch: int,
    ) -> None:
        """input_size: width, height in network pixels; person: class index; pad: grey level around the picture.

        Runs the engine once, so that a model that does not fit the input is a ModelError here and not at the first
        frame, and the engine's own preparations are done.
        """
        width, height = input_size
        self._engine = engine
        self._normalisation = Normalisation()
        self._pad = pad
        self._input = np.full((max_batch, 3, height, width), pad, np.float32)
        self._decoder = YoloxDecoder(width, height, person=person, min_score=min_score, max_iou=max_iou)
        try:
            for size in range(1, max_batch + 1):
                self._decoder.decode(engine.infer(self._input[:size])[0][0])
        except Exception as error:
            raise ModelError(f"detector.model does not fit detector.input [{width}, {height}]: {error}") from error

    @property
    def bad_rows(self) -> int:
        """Candidates dropped because the network's output was not finite."""
        return self._decoder.bad_rows

    def detect(self, batch: FrameBatch) -> Detections:
        """Find the people in every frame of the batch, best first within a frame."""
        scales = [
            letterbox(image, tensor, self._normalisation, self._pad)
            for image, tensor in zip(batch.images, self._input, strict=False)
        ]
        (raw,) = self._engine.infer(self._input[: len(batch)])
        boxes, scores = [], []
        for image, scale, output in zip(batch.images, scales, raw, strict=True):
            xyxy, score = self._decoder.decode(output)
            height, width = image.shape[:2]
            xyxy /= np.array(scale * 2, np.float32)
            np.clip(xyxy, 0, np.array([width, height] * 2, np.float32), out=xyxy)
            solid = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
            boxes.append(xyxy[solid])
            scores.append(score[solid])
        offsets = np.cumsum([0, *map(len, scores)], dtype=np.int32)
        return Detections(np.concatenate(boxes), np.concatenate(scores), offsets)
