"""One GPU through pycuda: its context, the one stream that everything runs on, and buffers that come in pairs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spoton_edge.engine.driver import Gpu
from spoton_edge.errors import EngineError
from spoton_edge.types import U8

ALIGNMENT = 256  # bytes; where a picture starts in the frames' buffer


class CudaDevice:
    """The context and stream that all engines of a process share. Belongs to the thread that made it."""

    def __init__(self, cuda: Any, gpu: Gpu) -> None:
        """cuda: the module pycuda.driver. Raises EngineError where the GPU gives no context."""
        self.cuda = cuda
        self.gpu = gpu
        with self.guarded():
            cuda.init()
            self._context = cuda.Device(0).retain_primary_context()
            self._context.push()
            self.stream = cuda.Stream()
        self.frames = DeviceFrames(self)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever fails inside becomes an EngineError that says in one line what is wrong with the GPU."""
        try:
            yield
        except EngineError:
            raise
        except Exception as error:  # pycuda's own exceptions exist only where it is installed
            raise EngineError(gpu_trouble(error, self.gpu)) from error

    def alloc(self, size_bytes: int) -> Any:
        """Device memory; raises EngineError where there is not enough."""
        with self.guarded():
            return self.cuda.mem_alloc(size_bytes)

    def memory(self) -> tuple[int, int]:
        """Bytes of the GPU that are in use, by all processes, and in all. For the thread that made the device."""
        with self.guarded():
            free, total = self.cuda.mem_get_info()
        return total - free, total

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Page-locked host memory, which alone is copied while the CPU goes on; raises EngineError."""
        with self.guarded():
            buffer: np.ndarray = self.cuda.pagelocked_empty(shape, dtype)
        return buffer

    def close(self) -> None:
        """Give the context back; engines on it must not be used afterwards."""
        self._context.pop()


class DeviceFrames:
    """The frames of one batch on the GPU, uploaded once for detector and Re-ID together.

    Two sets of pinned and device buffers in turn: while the GPU reads one batch, the next is copied. They grow when
    frames do and are never allocated otherwise.
    """

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._images: Sequence[U8] = ()
        self._offsets: list[int] = []
        self._turn = 0
        self._pinned: list[np.ndarray | None] = [None, None]
        self._on_device: list[Any] = [None, None]
        self._uploaded: list[Any] = [None, None]

    def hold(self, images: Sequence[U8]) -> None:
        """Upload the frames u8 (H, W, 3) unless this very list is there already; its arrays must stay as they are
        until the next list comes. Raises EngineError."""
        if images is not self._images:
            with self._device.guarded():
                self._upload(images)

    def _upload(self, images: Sequence[U8]) -> None:
        offsets, size = [], 0
        for image in images:
            offsets.append(size)
            size += -(-image.size // ALIGNMENT) * ALIGNMENT
        device, turn = self._device, 1 - self._turn
        pinned = self._pinned[turn]
        if pinned is None or pinned.nbytes < size:
            device.stream.synchronize()
            pinned = self._pinned[turn] = device.pinned((size,), np.uint8)
            self._on_device[turn] = device.alloc(size)
            self._uploaded[turn] = device.cuda.Event()
        else:
            self._uploaded[turn].synchronize()  # the copy before last reads these very bytes
        address = int(self._on_device[turn])
        for image, offset in zip(images, offsets, strict=True):
            place = pinned[offset : offset + image.size]
            place.reshape(image.shape)[...] = image
            # Each by itself: it travels while the CPU copies the next.
            device.cuda.memcpy_htod_async(address + offset, place, device.stream)
        self._uploaded[turn].record(device.stream)
        self._images, self._offsets, self._turn = images, offsets, turn

    def address(self, index: int) -> int:
        """Where frame `index` of the held ones starts on the device; its rows follow each other without gaps."""
        return int(self._on_device[self._turn]) + self._offsets[index]


def gpu_trouble(error: BaseException, gpu: Gpu) -> str:
    """One line on a failure of the GPU: memory, the device itself, or what the library said."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        free = "make room, or lower detector.input, reid.crops_per_batch or the number of cameras"
        return f"the GPU {gpu.name} ({gpu.memory_bytes / 2**30:.1f} GiB) is out of memory: {free}"
    if any(word in text.lower() for word in ("device lost", "no longer available", "fallen off", "ecc", "unavailable")):
        return f"the GPU {gpu.name} is lost: {text}"
    return f"the GPU {gpu.name} failed: {text}"
