"""People in frames: one engine call for all cameras of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge.decoding import decoder_of
from spoton_edge.engine import Engine, PictureFormat
from spoton_edge.engine.host_input import picture_input
from spoton_edge.errors import ModelError
from spoton_edge.manifests import Manifest
from spoton_edge.types import F4, U8, Detections, FrameBatch


class Detector:
    """A person detector of any family that `decoding.py` knows, over a batch of frames of any sizes.

    Frames are fitted into the input as the manifest says; boxes come back in pixels of the frame and end at its edge.
    """

    def __init__(
        self, engine: Engine, manifest: Manifest, *, input_size: tuple[int, int], min_score: float, max_batch: int
    ) -> None:
        """manifest: of a detector; input_size: width, height in network pixels; max_batch: most frames in one call of
        the engine, more are detected in several.

        Runs the engine once, so that a model that does not fit the input is a ModelError here and not at the first
        frame, and the engine's own preparations are done.
        """
        assert manifest.input is not None
        self.max_batch = max_batch
        self.backend = engine.backend
        self._manifest, self._input_size = manifest, input_size
        self._outputs = [output.name for output in engine.outputs]
        self._bad_rows = 0
        spec = manifest.input
        form = PictureFormat(spec.mean, spec.std, spec.colour, spec.fit == "letterbox", float(spec.pad))
        width, height = input_size
        try:
            self._decoder = decoder_of(manifest, self._outputs, input_size, min_score)
            self._input = picture_input(engine, input_size, form, max_batch)
            for size in range(1, max_batch + 1):
                outputs = self._input.infer(size)
                for image in range(size):
                    self._decoder.decode(outputs, image)
        except (ValueError, IndexError, TypeError) as error:
            raise ModelError(f"detector.model does not fit detector.input [{width}, {height}]: {error}") from error

    @property
    def bad_rows(self) -> int:
        """Candidates dropped because the network's output was not finite."""
        return self._bad_rows + self._decoder.bad_rows

    def retune(self, min_score: float) -> None:
        """Give detections from another score on."""
        self._bad_rows += self._decoder.bad_rows
        self._decoder = decoder_of(self._manifest, self._outputs, self._input_size, min_score)

    def detect(self, batch: FrameBatch) -> Detections:
        """Find the people in every frame of the batch, best first within a frame.

        Of more frames than the engine takes at once the next are prepared while it computes.
        """
        boxes: list[F4] = []
        scores: list[F4] = []
        computing: list[tuple[list[U8], list[tuple[float, float]]]] = []
        for start in range(0, len(batch), self.max_batch):
            images = batch.images[start : start + self.max_batch]
            scales = self._input.letterbox(images)
            self._input.submit(len(images))
            computing.append((images, scales))
            if len(computing) == 2:
                self._decode(*computing.pop(0), boxes, scores)
        for images, scales in computing:
            self._decode(images, scales, boxes, scores)
        offsets = np.cumsum([0, *map(len, scores)], dtype=np.int32)
        return Detections(np.concatenate(boxes), np.concatenate(scores), offsets)

    def _decode(
        self, images: Sequence[U8], scales: Sequence[tuple[float, float]], boxes: list[F4], scores: list[F4]
    ) -> None:
        """Await the engine's answer for these pictures; adds what is found in each."""
        outputs = self._input.collect()
        for number, (image, scale) in enumerate(zip(images, scales, strict=True)):
            xyxy, score = self._decoder.decode(outputs, number)
            height, width = image.shape[:2]
            xyxy /= np.array(scale * 2, np.float32)
            np.clip(xyxy, 0, np.array([width, height] * 2, np.float32), out=xyxy)
            solid = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
            boxes.append(xyxy[solid])
            scores.append(score[solid])
