"""Engines run a network on a batch; what they run on is theirs to know.

Each backend is one file, so that its library is imported only where it is chosen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spoton_edge.errors import MissingExtraError
from spoton_edge.types import F4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A network's input or output; None stands for an axis that may have any length."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Engine(Protocol):
    """A loaded network. One thread at a time."""

    backend: str  # what it runs on, for the log
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def infer(self, batch: F4) -> tuple[F4, ...]:
        """Run the network on f4 (B, 3, H, W); the outputs belong to the engine until the next call.

        Raises EngineError where the network fails.
        """


def load_engine(model: Path, *, backend: str, threads: int = 0) -> Engine:
    """The engine for an ONNX file. backend: "auto" or a backend's name; threads: of a CPU backend, 0 = all cores.

    Raises ModelError where the file is not a usable network, MissingExtraError where the backend is not installed.
    """
    if backend not in ("auto", "onnxruntime"):
        raise MissingExtraError(f"runtime.backend: {backend} is not yet supported; use auto or onnxruntime")
    try:
        from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
    except ImportError as error:
        raise MissingExtraError(
            f"no inference backend is installed ({error}): pip install 'spoton-edge[cpu]'"
        ) from None
    engine = OnnxRuntimeEngine(model, threads=threads)
    log.info("engine %s runs on %s", model.name, engine.backend)
    return engine
