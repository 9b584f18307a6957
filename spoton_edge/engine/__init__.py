"""Engines run a network on a batch; what they run on is theirs to know.

Each backend is one file, so that its library is imported only where it is chosen; `backends.py` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from spoton_edge.types import F4, U8


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A network's input or output; None stands for an axis that may have any length, dtype is NumPy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Workload:
    """What a stage will ask of an engine, so that it can be built for just that.

    size: width, height of the input in network pixels; batches of 1 to `largest` pictures come, mostly `typical`.
    """

    size: tuple[int, int]
    typical: int
    largest: int

    def __post_init__(self) -> None:
        if not 1 <= self.typical <= self.largest:
            raise ValueError(f"batches of {self.typical} typically and {self.largest} at most")


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How pictures become a network's input: plane = (grey level - mean) / std, planes in `colour` order.

    letterbox: whether frames keep their aspect ratio, top left, with `pad` (a grey level) around; else stretched.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colour: str = "bgr"
    letterbox: bool = True
    pad: float = 114.0


class Engine(Protocol):
    """A loaded network. One thread at a time, the one that loaded it."""

    backend: str  # what it runs on, for the log
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def max_batch(self) -> int | None:
        """Most pictures of one batch; None: no limit of its own."""

    def infer(self, batch: F4) -> tuple[F4, ...]:
        """Run the network on f4 (B, 3, H, W); f4 outputs in the order of `outputs`, the engine's until the call after
        next. Raises EngineError where the network fails."""

    def submit(self, batch: F4) -> None:
        """Start `infer`; up to two batches may be under way. `batch` may be written again when this returns."""

    def collect(self) -> tuple[F4, ...]:
        """Wait for the oldest submitted batch and return its outputs, as `infer` does."""


class PictureInput(Protocol):
    """Writes pictures where an engine reads its input, and runs it on them."""

    def letterbox(self, images: Sequence[U8]) -> list[tuple[float, float]]:
        """Fit image i into row i of the input; network pixels per picture pixel, first x, then y, of each."""

    def crop(self, images: Sequence[U8], index: int, boxes: F4, row: int) -> None:
        """Stretch the boxes f4 (n, 4) px of one of the images into the rows from `row` on; zeros for empty ones."""

    def infer(self, count: int) -> tuple[F4, ...]:
        """Run the engine on the first `count` rows; see Engine.infer."""

    def submit(self, count: int) -> None:
        """Start `infer`; see Engine.submit. The rows may be written again when this returns."""

    def collect(self) -> tuple[F4, ...]:
        """The outputs of the oldest rows submitted; see Engine.collect."""


@runtime_checkable
class TakesPictures(Protocol):
    """An engine that prepares pictures where it runs."""

    def picture_input(self, size: tuple[int, int], form: PictureFormat, largest: int) -> PictureInput:
        """See PictureInput; size: width, height; largest: rows of the input."""
