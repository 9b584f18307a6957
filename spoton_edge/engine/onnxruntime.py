"""ONNX Runtime: on the CPU, the engine of machines without a GPU; on CUDA where its build has it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Before its import: published builds tell their maker what they run, and keep a number of this machine for that.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

from spoton_edge.engine import TensorSpec, Workload
from spoton_edge.errors import EngineError, ModelError
from spoton_edge.types import F4

# From here on ONNX Runtime's own log has only what ends a program; its warnings are about how a graph was exported.
SEVERITY_FATAL = 4
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
CUDA = "CUDAExecutionProvider"


class OnnxRuntimeBackend:
    """Loads networks into ONNX Runtime."""

    name = "onnxruntime"

    def __init__(self, *, threads: int = 0, cuda: bool = False) -> None:
        """threads: intra-op, 0 = one a core; cuda: run on the GPU. Raises EngineError where this build has no CUDA."""
        if cuda and CUDA not in ort.get_available_providers():
            raise EngineError("this build of ONNX Runtime has no CUDA")
        self._threads, self._cuda = threads, cuda

    def load(self, model: Path, work: Workload) -> OnnxRuntimeEngine:  # noqa: ARG002 - it takes any work
        """See Backend.load."""
        return OnnxRuntimeEngine(model, threads=self._threads, cuda=self._cuda)

    def memory(self) -> tuple[int, int] | None:
        """See Backend.memory. ONNX Runtime does not tell."""
        return None

    def prepare(self, model: Path, work: Workload, cancelled: Callable[[], bool]) -> None:
        """See Backend.prepare. A session is made in a moment: nothing to do before."""


class OnnxRuntimeEngine:
    """A session whose outputs are written into buffers that are kept for each batch size, not allocated per call."""

    max_batch: int | None = None

    def __init__(self, model: Path, *, threads: int = 0, cuda: bool = False) -> None:
        """Load `model`. threads: intra-op, 0 = one a core. Raises ModelError where it is missing, damaged, or no
        network from one float tensor (B, 3, H, W) to number tensors, EngineError where CUDA does not work."""
        options = ort.SessionOptions()
        options.log_severity_level = SEVERITY_FATAL
        options.intra_op_num_threads = threads
        # Spinning threads win little here and take the cores from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not model.is_file():
            raise ModelError(f"{model}: no such model file")
        providers = [CUDA, "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        try:
            self._session = ort.InferenceSession(str(model), options, providers=providers)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
            raise ModelError(f"{model}: not a usable ONNX network: {_one_line(error)}") from None
        if cuda and self._session.get_providers()[0] != CUDA:
            raise EngineError("ONNX Runtime's CUDA provider does not start here")
        self.backend = f"onnxruntime {ort.__version__} {'CUDA' if cuda else 'CPU'}"
        nodes = [self._session.get_inputs(), self._session.get_outputs()]
        known = all(node.type in DTYPES for node in (*nodes[0], *nodes[1]))
        self.inputs, self.outputs = (tuple(_spec(node) for node in side) for side in nodes)
        if len(self.inputs) != 1 or len(self.inputs[0].shape) != 4 or self.inputs[0].shape[1] != 3:
            found = ", ".join(f"{spec.name}{list(spec.shape)}" for spec in self.inputs)
            raise ModelError(f"{model}: a network with one input (B, 3, H, W) is needed, this one has {found}")
        if not known or self.inputs[0].dtype not in ("float32", "float16"):
            raise ModelError(f"{model}: a network from float32 or float16 to numbers is needed")
        self._input_dtype = np.dtype(self.inputs[0].dtype)
        self._bound: dict[tuple[int, ...], deque[tuple[Any, tuple[np.ndarray, ...]]]] = {}
        self._done: deque[tuple[F4, ...]] = deque()

    def infer(self, batch: F4) -> tuple[F4, ...]:
        """See Engine.infer."""
        batch = np.ascontiguousarray(batch, self._input_dtype)
        try:
            outputs = self._run(batch)
        except Exception as error:
            raise EngineError(f"{self.backend} failed on a batch of shape {batch.shape}: {_one_line(error)}") from error
        return tuple(output.astype(np.float32, copy=False) for output in outputs)

    def _run(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        known = self._bound.setdefault(batch.shape, deque())
        if len(known) < 2:  # two sets of buffers a shape: the last answer outlives one more call
            outputs = tuple(self._session.run(None, {self.inputs[0].name: batch}))
            known.append((self._session.io_binding(), outputs))
            return outputs
        known.rotate()
        binding, outputs = known[0]
        binding.bind_input(self.inputs[0].name, "cpu", 0, batch.dtype, batch.shape, batch.ctypes.data)
        for spec, output in zip(self.outputs, outputs, strict=True):
            binding.bind_output(spec.name, "cpu", 0, output.dtype, output.shape, output.ctypes.data)
        self._session.run_with_iobinding(binding)
        return outputs

    def submit(self, batch: F4) -> None:
        """See Engine.submit. Computes at once: on the CPU there is no second machine to wait for."""
        self._done.append(self.infer(batch))

    def collect(self) -> tuple[F4, ...]:
        """See Engine.collect."""
        return self._done.popleft()


def _spec(node: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return TensorSpec(node.name, shape, np.dtype(DTYPES[node.type]).name if node.type in DTYPES else node.type)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
