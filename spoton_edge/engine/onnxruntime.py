"""ONNX Runtime on the CPU: the engine of machines without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from spoton_edge.engine import TensorSpec
from spoton_edge.errors import EngineError, ModelError
from spoton_edge.types import F4

# From here on ONNX Runtime's own log has only what ends a program; its warnings are about how a graph was exported.
SEVERITY_FATAL = 4


class OnnxRuntimeEngine:
    """A session whose outputs are written into buffers that are kept for each batch size, not allocated per call."""

    def __init__(self, model: Path, *, threads: int = 0) -> None:
        """Load `model`. threads: intra-op, 0 = one a core. Raises ModelError where it is missing, damaged, or no
        network from one float32 tensor (B, 3, H, W) to float32 tensors."""
        options = ort.SessionOptions()
        options.log_severity_level = SEVERITY_FATAL
        options.intra_op_num_threads = threads
        # Spinning threads win little here and take the cores from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not model.is_file():
            raise ModelError(f"{model}: no such model file")
        try:
            self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
            raise ModelError(f"{model}: not a usable ONNX network: {_one_line(error)}") from None
        self.backend = f"onnxruntime {ort.__version__} CPU"
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        if len(self.inputs) != 1 or len(self.inputs[0].shape) != 4 or self.inputs[0].shape[1] != 3:
            found = ", ".join(f"{spec.name}{list(spec.shape)}" for spec in self.inputs)
            raise ModelError(f"{model}: a network with one input (B, 3, H, W) is needed, this one has {found}")
        if any(spec.dtype != "tensor(float)" for spec in self.inputs + self.outputs):
            raise ModelError(f"{model}: a network from float32 to float32 is needed")
        self._bound: dict[tuple[int, ...], tuple[Any, tuple[F4, ...]]] = {}

    def infer(self, batch: F4) -> tuple[F4, ...]:
        """See Engine.infer."""
        try:
            if batch.shape not in self._bound:
                outputs = tuple(self._session.run(None, {self.inputs[0].name: batch}))
                self._bound[batch.shape] = (self._session.io_binding(), outputs)
                return outputs
            binding, outputs = self._bound[batch.shape]
            binding.bind_input(self.inputs[0].name, "cpu", 0, np.float32, batch.shape, batch.ctypes.data)
            for spec, output in zip(self.outputs, outputs, strict=True):
                binding.bind_output(spec.name, "cpu", 0, np.float32, output.shape, output.ctypes.data)
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise EngineError(f"{self.backend} failed on a batch of shape {batch.shape}: {_one_line(error)}") from error
        return outputs


def _spec(node: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else None for axis in node.shape)
    return TensorSpec(node.name, shape, node.type)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
