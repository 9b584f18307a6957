"""Pictures prepared on the CPU: the input of every engine that does not do it itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge._ext.letterbox import Normalisation, crop, letterbox
from spoton_edge.engine import Engine, PictureFormat, PictureInput, TakesPictures
from spoton_edge.types import F4, U8


class HostInput:
    """A tensor f4 (largest, 3, h, w) in memory, written by the compiled letterbox."""

    def __init__(self, engine: Engine, size: tuple[int, int], form: PictureFormat, largest: int) -> None:
        width, height = size
        self._engine = engine
        self._form = form
        self._normalisation = Normalisation(form.mean, form.std, form.colour)
        self._tensor = np.zeros((largest, 3, height, width), np.float32)

    def letterbox(self, images: Sequence[U8]) -> list[tuple[float, float]]:
        """See PictureInput.letterbox."""
        form = self._form
        return [
            letterbox(image, tensor, self._normalisation, form.pad, stretch=not form.letterbox)
            for image, tensor in zip(images, self._tensor, strict=False)
        ]

    def crop(self, images: Sequence[U8], index: int, boxes: F4, row: int) -> None:
        """See PictureInput.crop."""
        crop(images[index], boxes, self._tensor[row : row + len(boxes)], self._normalisation)

    def infer(self, count: int) -> tuple[F4, ...]:
        """See PictureInput.infer."""
        return self._engine.infer(self._tensor[:count])

    def submit(self, count: int) -> None:
        """See PictureInput.submit."""
        self._engine.submit(self._tensor[:count])

    def collect(self) -> tuple[F4, ...]:
        """See PictureInput.collect."""
        return self._engine.collect()


def picture_input(engine: Engine, size: tuple[int, int], form: PictureFormat, largest: int) -> PictureInput:
    """The engine's own way to take pictures, else the CPU's. size: width, height; largest: most pictures at once."""
    if isinstance(engine, TakesPictures):
        return engine.picture_input(size, form, largest)
    return HostInput(engine, size, form, largest)
