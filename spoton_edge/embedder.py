"""What people look like: crops of tracklets to unit vectors, all crops of all cameras in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from spoton_edge.engine import Engine, PictureFormat
from spoton_edge.engine.host_input import picture_input
from spoton_edge.errors import ModelError
from spoton_edge.types import F4, I4, Bool, FrameBatch, Tracklets


class Appearance(Protocol):
    """Turns crops into vectors; their cosine says how alike two people look."""

    dimension: int

    def describe(self, images: Sequence[np.ndarray], boxes: Sequence[F4]) -> F4:
        """Unit rows f4 (N, dimension) for the boxes f4 (n_i, 4) px of each image, image after image; a crop that shows
        nothing gives a row of zeros."""


class Embedder:
    """The embed stage: fills `embedding` and `has_embedding` of the tracklets that are asked for."""

    def __init__(self, appearance: Appearance) -> None:
        self._appearance = appearance

    def embed(self, batch: FrameBatch, tracklets: Tracklets, wanted: Bool) -> Tracklets:
        """wanted (T,): the rows to describe, whose cameras are in the batch. The others keep a row of zeros."""
        embedding = np.zeros((len(tracklets), self._appearance.dimension), np.float32)
        # Rows of the tracklets by image of the batch, the order in which the vectors come back.
        rows = [np.flatnonzero(wanted & (tracklets.camera == camera)) for camera in batch.camera]
        order = np.concatenate(rows) if rows else np.zeros(0, np.intp)
        if len(order):
            boxes = [np.ascontiguousarray(tracklets.xyxy[of_image]) for of_image in rows]
            embedding[order] = self._appearance.describe(batch.images, boxes)
        return replace(tracklets, embedding=embedding, has_embedding=np.asarray(embedding.any(axis=1)))


class ReidNetwork:
    """A Re-ID network: crops are stretched to its input and normalised, its output is scaled to unit length."""

    def __init__(
        self,
        engine: Engine,
        *,
        input_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        colour: str,
        crops_per_batch: int,
    ) -> None:
        """input_size: width, height; mean, std in grey levels, colour "rgb" or "bgr": what the network was trained on;
        crops_per_batch: more crops than these are described in several calls. Raises ModelError on a wrong output."""
        width, height = input_size
        form = PictureFormat((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), colour, letterbox=False)
        self._largest = crops_per_batch
        self._input = picture_input(engine, input_size, form, crops_per_batch)
        try:
            output = self._input.infer(1)[0]
        except Exception as error:
            raise ModelError(f"reid.model does not fit crops of {width}x{height}: {error}") from error
        if output.ndim != 2:
            raise ModelError(f"reid.model gives an output of shape {output.shape}, not one vector a crop")
        self.dimension = int(output.shape[1])

    def describe(self, images: Sequence[np.ndarray], boxes: Sequence[F4]) -> F4:
        """See Appearance.describe."""
        vectors = np.empty((sum(map(len, boxes)), self.dimension), np.float32)
        described = filled = 0
        for number, of_image in enumerate(boxes):
            start = 0
            while start < len(of_image):
                take = min(len(of_image) - start, self._largest - filled)
                self._input.crop(images, number, of_image[start : start + take], filled)
                start, filled = start + take, filled + take
                if filled == self._largest:
                    described, filled = self._flush(vectors, described, filled), 0
        self._flush(vectors, described, filled)
        return unit_rows(vectors)

    def _flush(self, vectors: F4, described: int, filled: int) -> int:
        if filled:
            vectors[described : described + filled] = self._input.infer(filled)[0]
        return described + filled


class StripeHistogram:
    """Colour without a network: hue, saturation and brightness histograms of horizontal stripes of the body.

    Its cosine is the Bhattacharyya coefficient of the histograms (rows are square roots of shares). Good enough to tell
    a red coat from a grey one under the same light, and no more.
    """

    STRIPES = 6
    HUES = 8
    GREYS = 4
    WIDTH, HEIGHT = 16, 48  # crops are reduced to this
    MARGIN = 0.15  # of the width on either side that is mostly background

    def __init__(self) -> None:
        self._bins = self.HUES + self.GREYS
        self.dimension = self.STRIPES * self._bins

    def describe(self, images: Sequence[np.ndarray], boxes: Sequence[F4]) -> F4:
        """See Appearance.describe."""
        pixels = np.zeros((sum(map(len, boxes)), self.HEIGHT, self.WIDTH, 3), np.uint8)
        empty = np.zeros(len(pixels), np.bool_)
        row = 0
        for image, of_image in zip(images, boxes, strict=True):
            height, width = image.shape[:2]
            margin = self.MARGIN * (of_image[:, 2] - of_image[:, 0])
            x1, x2 = whole(of_image[:, 0] + margin, width), whole(of_image[:, 2] - margin, width)
            y1, y2 = whole(of_image[:, 1], height), whole(of_image[:, 3], height)
            for left, top, right, bottom in zip(x1, y1, x2, y2, strict=True):
                if right > left and bottom > top:
                    body = image[top:bottom, left:right]
                    cv2.resize(body, (self.WIDTH, self.HEIGHT), dst=pixels[row], interpolation=cv2.INTER_AREA)
                else:
                    empty[row] = True
                row += 1
        vectors = self._histograms(pixels)
        vectors[empty] = 0
        return vectors

    def _histograms(self, pixels: np.ndarray) -> F4:
        """Crops u8 (N, HEIGHT, WIDTH, 3) BGR to unit rows. A pixel counts as colour by its saturation, as grey by the
        rest, so that a slightly tinted grey is no sudden hue."""
        count = len(pixels)
        hsv = cv2.cvtColor(pixels.reshape(count * self.HEIGHT, self.WIDTH, 3), cv2.COLOR_BGR2HSV).reshape(-1, 3)
        hue = hsv[:, 0].astype(np.int64) * self.HUES // 180
        grey = self.HUES + hsv[:, 2].astype(np.int64) * self.GREYS // 256
        colourful = hsv[:, 1] / 255.0 * np.minimum(hsv[:, 2] / 128.0, 1.0)
        stripe = np.repeat(np.arange(count * self.STRIPES), self.HEIGHT // self.STRIPES * self.WIDTH) * self._bins
        size = count * self.dimension
        share = np.bincount(stripe + hue, colourful, size) + np.bincount(stripe + grey, 1 - colourful, size)
        return unit_rows(np.sqrt(share).reshape(count, self.dimension).astype(np.float32))


def unit_rows(vectors: F4) -> F4:
    """Scale each row of f4 (N, D) to length 1, in place; a row that is zero or not finite becomes zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(length) & (length > 0)
    np.divide(vectors, length, out=vectors, where=usable)
    vectors[~usable[:, 0]] = 0
    return vectors


def whole(position: F4, limit: int) -> I4:
    """Pixel positions rounded and held within 0..limit."""
    return np.clip(np.rint(position), 0, limit).astype(np.int32)
