"""Chooses what runs the networks, and says why the better ones were passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from spoton_edge.engine import Engine, Workload
from spoton_edge.engine.builder import BuildRefusedError, Progress
from spoton_edge.errors import EngineError, MissingExtraError

log = logging.getLogger(__name__)


class Backend(Protocol):
    """A library that loads networks."""

    name: str

    def load(self, model: Path, work: Workload) -> Engine:
        """The engine of an ONNX file, ready to run. Raises ModelError where the file is no usable network,
        BuildRefusedError where this backend cannot run it, EngineError where the machine fails."""

    def prepare(self, model: Path, work: Workload, cancelled: Callable[[], bool]) -> None:
        """Do what of `load` takes long, from any thread; the same errors."""

    def memory(self) -> tuple[int, int] | None:
        """Bytes of the GPU in use, and in all; None where there is none, or it does not tell. By the loading thread."""


def no_progress(phase: str, done: float, left_s: float | None) -> None:
    """For those who do not watch a build."""


class Backends:
    """The backends of `runtime.backend`, best first, each opened when it is first asked for and kept if it works."""

    def __init__(self, name: str, cache: Path, *, threads: int = 0, progress: Progress = no_progress) -> None:
        """name: "auto" or a backend's; cache: folder of models and engines; threads: of a CPU backend, 0 = all
        cores; progress: told of builds."""
        self._chosen = name
        self._makers: dict[str, Callable[[], Backend]] = {
            "tensorrt": lambda: tensorrt("tensorrt", cache, progress),
            "tensorrt_rtx": lambda: tensorrt("tensorrt_rtx", cache, progress),
            "onnxruntime CUDA": lambda: onnxruntime(threads, cuda=True),
            "onnxruntime": lambda: onnxruntime(threads, cuda=False),
        }
        if name != "auto":
            self._makers = {name: self._makers[name]}
        self._opened: dict[str, Backend] = {}

    def load(self, model: Path, work: Workload) -> Engine:
        """See Backend.load; with "auto" the best backend that really runs this network. Raises EngineError or
        MissingExtraError where none does."""
        refusals: list[SpotOnRefusal] = []
        for backend in self._working(refusals):
            try:
                engine = backend.load(model, work)
            except (BuildRefusedError, MissingExtraError) as refusal:
                self._pass_over(backend.name, refusal, refusals)
                continue
            log.info("engine %s runs on %s", model.name, engine.backend)
            return engine
        raise refusals[-1]

    def prepare(self, model: Path, work: Workload, cancelled: Callable[[], bool]) -> None:
        """Have the backend that runs the other networks do what of `load` takes long; from any thread. What it refuses,
        `load` will find out too. Raises ModelError, EngineError."""
        for backend in list(self._opened.values())[:1]:
            try:
                backend.prepare(model, work, cancelled)
            except (BuildRefusedError, MissingExtraError) as refusal:
                if self._chosen != "auto":
                    raise
                log.info("backend %s is passed over: %s", backend.name, refusal)

    def memory(self) -> tuple[int, int] | None:
        """See Backend.memory; of the first that tells."""
        known = (backend.memory() for backend in self._opened.values())
        return next((sizes for sizes in known if sizes is not None), None)

    def _working(self, refusals: list[SpotOnRefusal]) -> Iterator[Backend]:
        for name in list(self._makers):
            if name not in self._opened:
                try:
                    self._opened[name] = self._makers[name]()
                except (EngineError, MissingExtraError) as refusal:
                    self._pass_over(name, refusal, refusals)
                    if len(self._makers) > 1:
                        del self._makers[name]
                    continue
            yield self._opened[name]

    def _pass_over(self, name: str, refusal: SpotOnRefusal, refusals: list[SpotOnRefusal]) -> None:
        refusals.append(refusal)
        if self._chosen == "auto":
            log.info("backend %s is passed over: %s", name, refusal)


SpotOnRefusal = EngineError | MissingExtraError


def tensorrt(name: str, cache: Path, progress: Progress) -> Backend:
    """TensorRT or TensorRT-RTX; see TensorRtBackend."""
    from spoton_edge.engine.tensorrt import TensorRtBackend

    return TensorRtBackend(name, cache, progress=progress)


def onnxruntime(threads: int, *, cuda: bool) -> Backend:
    """ONNX Runtime; raises MissingExtraError where it is not installed."""
    try:
        from spoton_edge.engine.onnxruntime import OnnxRuntimeBackend
    except ImportError as error:
        raise MissingExtraError(
            f"no inference backend is installed ({error}): pip install 'spoton-edge[cpu]'"
        ) from None
    return OnnxRuntimeBackend(threads=threads, cuda=cuda)
