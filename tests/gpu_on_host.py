"""A GPU that is not there: the CUDA kernels compiled for the host, and as much of pycuda and TensorRT's runtime as the
program uses, on the host's memory. Device pointers are host addresses; streams do everything at once."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from spoton_edge.engine.nvrtc import preprocess_source

# What a host compiler must be told about CUDA; tests launch whole grids in a loop.
SHIM = """
#include <string.h>
#define __device__
#define __global__
struct D3 { unsigned x, y, z; };
static thread_local D3 blockIdx, blockDim, threadIdx;
static unsigned short half_of(float value) {
    _Float16 half = (_Float16)value;
    unsigned short bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}
"""
LAUNCH = """
template <class F> static void launch(const unsigned *grid, const unsigned *block, F kernel) {
    blockDim = {block[0], block[1], block[2]};
    for (unsigned Z = 0; Z < grid[2]; Z++) for (unsigned Y = 0; Y < grid[1]; Y++) for (unsigned X = 0; X < grid[0]; X++)
        for (unsigned y = 0; y < block[1]; y++) for (unsigned x = 0; x < block[0]; x++) {
            blockIdx = {X, Y, Z};
            threadIdx = {x, y, 0};
            kernel();
        }
}
extern "C" void host_prepare_f32(const unsigned *g, const unsigned *b, const picture *p, const form *f, float *out, int w, int h) {
    launch(g, b, [&] { prepare_f32(p, f, out, w, h); });
}
extern "C" void host_prepare_f16(const unsigned *g, const unsigned *b, const picture *p, const form *f, half_bits *out, int w, int h) {
    launch(g, b, [&] { prepare_f16(p, f, out, w, h); });
}
"""  # noqa: E501


def compile_for_host(folder: Path) -> ctypes.CDLL:
    """preprocess.cu as a library of the host, without fused multiply-add, with the compiler's warnings as errors."""
    source, library = folder / "preprocess.cpp", folder / "preprocess.so"
    source.write_text(SHIM + preprocess_source() + LAUNCH)
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


class Memory:
    """Device memory; int() is its address."""

    def __init__(self, size: int) -> None:
        self.bytes = np.full(max(size, 1), 0xA5, np.uint8)

    def __int__(self) -> int:
        return self.bytes.ctypes.data


class Event:
    def __init__(self) -> None:
        self.recorded = 0

    def record(self, stream: Any) -> None:
        self.recorded += 1

    def synchronize(self) -> None:
        pass


class Kernel:
    """A prepared function: its host twin, called with addresses."""

    def __init__(self, function: Any, cuda: HostCuda) -> None:
        self._function, self._cuda = function, cuda

    def prepare(self, types: str) -> None:
        assert types == "PPPii"

    def prepared_async_call(self, grid: Any, block: Any, stream: Any, *arguments: Any) -> None:
        self._cuda.launches += 1
        *pointers, width, height = (int(argument) for argument in arguments)
        sizes = [(ctypes.c_uint * 3)(*size) for size in (grid, block)]
        self._function(*sizes, *map(ctypes.c_void_p, pointers), ctypes.c_int(width), ctypes.c_int(height))


class HostCuda:
    """pycuda.driver, as far as it is used. Counts allocations and launches; `fail` makes allocations raise."""

    Event = Event

    def __init__(self, kernels: ctypes.CDLL) -> None:
        self._kernels = kernels
        self.allocations = self.launches = 0
        self.fail: Exception | None = None

    def init(self) -> None:
        pass

    def Device(self, number: int) -> Any:  # noqa: N802 - pycuda's name
        context = SimpleNamespace(push=lambda: None, pop=lambda: None)
        return SimpleNamespace(retain_primary_context=lambda: context)

    def Stream(self) -> Any:  # noqa: N802 - pycuda's name
        return SimpleNamespace(handle=7, synchronize=lambda: None)

    def mem_get_info(self) -> tuple[int, int]:
        return 3 * 2**30, 8 * 2**30

    def mem_alloc(self, size: int) -> Memory:
        if self.fail:
            raise self.fail
        self.allocations += 1
        return Memory(size)

    def pagelocked_empty(self, shape: Any, dtype: Any) -> np.ndarray:
        self.allocations += 1
        return np.zeros(shape, dtype)

    def memcpy_htod_async(self, target: Any, source: np.ndarray, stream: Any) -> None:
        assert source.flags.c_contiguous
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(self, target: np.ndarray, source: Any, stream: Any) -> None:
        assert target.flags.c_contiguous
        ctypes.memmove(target.ctypes.data, int(source), target.nbytes)

    def module_from_buffer(self, code: bytes) -> Any:
        return SimpleNamespace(get_function=lambda name: Kernel(getattr(self._kernels, f"host_{name}"), self))


class HostTensorRt:
    """TensorRT-RTX's runtime, as far as it is used; its "plans" are ONNX files, run by ONNX Runtime.

    `refuse`: plans that are refused; `faults`: how many executions fail; `jit`: what was deserialized into the caches.
    """

    __name__ = "tensorrt_rtx"
    __version__ = "1.0"
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    IRuntimeCache = object

    class Logger:
        WARNING = 2

        def __init__(self, severity: int) -> None:
            pass

    def __init__(self) -> None:
        self.faults = 0
        self.contexts = 0
        self.refuse: set[bytes] = set()
        self.jit: list[bytes] = []

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    @staticmethod
    def nptype(dtype: str) -> Any:
        return {"tensor(float)": np.float32, "tensor(float16)": np.float16}[dtype]

    def _deserialize(self, plan: bytes) -> Any:
        return None if plan in self.refuse else HostEngine(self, plan)


class HostEngine:
    def __init__(self, trt: HostTensorRt, plan: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(plan, options, providers=["CPUExecutionProvider"])
        self.trt = trt
        self.nodes = {node.name: node for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.num_io_tensors = len(self.nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.nodes)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == self.session.get_inputs()[0].name else "out"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> str:
        return str(self.nodes[name].type)

    def create_runtime_config(self) -> Any:
        cache = SimpleNamespace(deserialize=self.trt.jit.append, serialize=lambda: b"compiled")
        return SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda given: given is cache)

    def create_execution_context(self, runtime_config: Any) -> HostContext:
        self.trt.contexts += 1
        return HostContext(self)


class HostContext:
    def __init__(self, engine: HostEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        given = self._dtype(self.engine.session.get_inputs()[0].name)
        outputs = self.engine.session.run([name], {self._input: np.zeros(self.shape, given)})
        return tuple(outputs[0].shape)

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self.engine.trt.faults:
            self.engine.trt.faults -= 1
            return False
        dtype = self._dtype(self._input)
        size = int(np.prod(self.shape)) * dtype.itemsize
        given = np.frombuffer(ctypes.string_at(self.addresses[self._input], size), dtype).reshape(self.shape)
        outputs = self.engine.session.run(None, {self._input: given})
        for node, output in zip(self.engine.session.get_outputs(), outputs, strict=True):
            whole = np.ascontiguousarray(output)
            ctypes.memmove(self.addresses[node.name], whole.ctypes.data, whole.nbytes)
        return True

    @property
    def _input(self) -> str:
        return str(self.engine.session.get_inputs()[0].name)

    def _dtype(self, name: str) -> Any:
        return np.dtype(HostTensorRt.nptype(self.engine.nodes[name].type))
