"""Pictures prepared on the GPU: one kernel launch letterboxes or crops a whole batch into the engine's input.

The kernel is `engines/preprocess.cu`; it does the arithmetic of the CPU's letterbox (`ext/c/resize.c`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from spoton_edge.engine import PictureFormat
from spoton_edge.engine.cuda import CudaDevice
from spoton_edge.types import F4, U8

# `struct picture` of preprocess.cu
PICTURE = np.dtype(
    [
        ("pixels", np.uint64),
        ("stride", np.int64),
        ("width", np.int32),
        ("height", np.int32),
        ("out_width", np.int32),
        ("out_height", np.int32),
    ]
)
# `struct form` of preprocess.cu
FORM = np.dtype([("scale", np.float32, 3), ("bias", np.float32, 3), ("pad", np.float32, 3), ("reverse", np.int32)])
BLOCK = (32, 8, 1)
SLOTS = 2  # tables of pictures, so that one can be written while the other is read
KERNELS = {"float16": "prepare_f16", "float32": "prepare_f32"}


class RunsOnDevice(Protocol):
    """An engine whose input may be written on the GPU."""

    @property
    def input_address(self) -> int:
        """Where the input (B, 3, H, W) lies on the device."""

    @property
    def input_dtype(self) -> str:
        """What it holds, NumPy's name."""

    def submit_loaded(self, count: int) -> None:
        """Start on what lies in the device's input buffer."""

    def collect(self) -> tuple[F4, ...]:
        """See Engine.collect."""


class CudaInput:
    """Rows of a network's input on the GPU, described as rectangles of frames and filled by one launch."""

    def __init__(
        self,
        device: CudaDevice,
        module: Any,
        engine: RunsOnDevice,
        size: tuple[int, int],
        form: PictureFormat,
        largest: int,
    ) -> None:
        """module: preprocess.cu compiled for the device; size: width, height; largest: rows of the input."""
        self._device, self._engine, self._form = device, engine, form
        self._width, self._height = size
        self._launch = module.get_function(KERNELS[engine.input_dtype])
        self._launch.prepare("PPPii")
        self._tables = [device.pinned((largest,), PICTURE) for _ in range(SLOTS)]
        self._on_device = [device.alloc(largest * PICTURE.itemsize) for _ in range(SLOTS)]
        self._read = [device.cuda.Event() for _ in range(SLOTS)]
        self._turn = 0
        described = device.pinned((1,), FORM)
        described[0] = kernel_form(form)
        self._described = device.alloc(FORM.itemsize)
        device.cuda.memcpy_htod_async(self._described, described, device.stream)
        device.stream.synchronize()

    def letterbox(self, images: Sequence[U8]) -> list[tuple[float, float]]:
        """See PictureInput.letterbox."""
        self._device.frames.hold(images)
        scales = []
        for row, image in enumerate(images):
            height, width = image.shape[:2]
            out_width, out_height = fitted((width, height), (self._width, self._height), self._form.letterbox)
            address = self._device.frames.address(row)
            self._tables[self._turn][row] = (address, 3 * width, width, height, out_width, out_height)
            scales.append((out_width / width, out_height / height))
        return scales

    def crop(self, images: Sequence[U8], index: int, boxes: F4, row: int) -> None:
        """See PictureInput.crop."""
        self._device.frames.hold(images)
        height, width = images[index].shape[:2]
        edges = np.floor(np.clip(boxes, 0, np.array([width, height] * 2, np.float32)) + np.float32(0.5)).astype(
            np.int64
        )
        table = self._tables[self._turn][row : row + len(boxes)]
        table["pixels"] = self._device.frames.address(index) + 3 * (edges[:, 1] * width + edges[:, 0])
        table["stride"] = 3 * width
        table["width"] = np.maximum(edges[:, 2] - edges[:, 0], 0)
        table["height"] = np.maximum(edges[:, 3] - edges[:, 1], 0)
        table["out_width"], table["out_height"] = self._width, self._height

    def infer(self, count: int) -> tuple[F4, ...]:
        """See PictureInput.infer."""
        self.submit(count)
        return self.collect()

    def collect(self) -> tuple[F4, ...]:
        """See PictureInput.collect."""
        return self._engine.collect()

    def submit(self, count: int) -> None:
        """See PictureInput.submit."""
        with self._device.guarded():
            self._submit(count)

    def _submit(self, count: int) -> None:
        device, turn = self._device, self._turn
        device.cuda.memcpy_htod_async(self._on_device[turn], self._tables[turn][:count], device.stream)
        self._launch.prepared_async_call(
            (-(-self._width // BLOCK[0]), -(-self._height // BLOCK[1]), count),
            BLOCK,
            device.stream,
            self._on_device[turn],
            self._described,
            self._engine.input_address,
            self._width,
            self._height,
        )
        self._read[turn].record(device.stream)
        self._turn = (turn + 1) % SLOTS
        self._engine.submit_loaded(count)
        self._read[self._turn].synchronize()  # the table that is written next


def fitted(picture: tuple[int, int], target: tuple[int, int], letterbox: bool) -> tuple[int, int]:
    """Width and height that a picture gets inside the target, as the compiled letterbox rounds them."""
    if not letterbox:
        return target
    scale = min(target[0] / picture[0], target[1] / picture[1])
    width, height = (max(1, min(t, int(p * scale + 0.5))) for p, t in zip(picture, target, strict=True))
    return width, height


def kernel_form(form: PictureFormat) -> tuple[Any, ...]:
    """A row of FORM, by channel of the frame. Rounded step by step as Normalisation and spoton_resize do; 1/65536
    because the kernel's sums have 16 fractional bits."""
    scale = (1.0 / np.array(form.std)).astype(np.float32)
    bias = (-np.array(form.mean) / np.array(form.std)).astype(np.float32)
    pad = np.float32(form.pad) * scale + bias
    order = [2, 1, 0] if form.colour == "rgb" else [0, 1, 2]
    return (scale / np.float32(65536))[order], bias[order], pad[order], int(form.colour == "rgb")
