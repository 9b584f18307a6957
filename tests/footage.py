"""Small made-up clips whose pictures carry their own number, so that a test can tell which frame it was given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from spoton_edge.types import U8

BITS = 12
SIZE = (192, 96)  # width, height px


def picture(number: int, size: tuple[int, int] = SIZE) -> U8:
    """A grey picture with `number` as white and black columns across its upper half, lowest bit left."""
    width, height = size
    image = np.full((height, width, 3), 96, np.uint8)
    image[:, :, 2] = 160
    column = width // BITS
    for bit in range(BITS):
        image[: height // 2, bit * column : (bit + 1) * column] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: U8) -> int:
    """The number that `picture` wrote into a whole picture of any size."""
    height, width = image.shape[:2]
    column = width // BITS
    return sum((image[height // 4, bit * column + column // 2].mean() > 128) << bit for bit in range(BITS))


def write_clip(
    path: Path,
    numbers: Iterable[int],
    *,
    rate: int = 10,
    size: tuple[int, int] = SIZE,
    codec: str = "mpeg4",
    times: Sequence[int] | None = None,
    container_format: str | None = None,
    key_every: int = 5,
) -> Path:
    """Encode pictures of `numbers`; `times` are presentation times in units of 1 / `rate` s (default: 0, 1, 2, ...)."""
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.gop_size = key_every
        stream.codec_context.max_b_frames = 0
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="bgr24").reformat(format=stream.pix_fmt)
            frame.pts = times[index] if times else index
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
