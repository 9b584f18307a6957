"""TensorRT 10 and 11 and TensorRT-RTX, whose interfaces are one, on pycuda's buffers.

Nothing of either library is made before the driver has said that there is a GPU (`driver.py`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge.engine import PictureFormat, TensorSpec, Workload
from spoton_edge.engine.builder import Progress, build
from spoton_edge.engine.cache import EngineCache, Key
from spoton_edge.engine.cuda import CudaDevice, gpu_trouble
from spoton_edge.engine.cuda_input import CudaInput
from spoton_edge.engine.driver import Gpu, NoDriver, probe
from spoton_edge.engine.nvrtc import Nvrtc, preprocess_source
from spoton_edge.errors import EngineError, MissingExtraError, ModelError
from spoton_edge.pinned_files import sha256, write_whole
from spoton_edge.types import F4

log = logging.getLogger(__name__)

SLOTS = 2  # batches that may be under way


class TensorRtBackend:
    """Builds, caches and loads engines of one TensorRT library on the first GPU."""

    def __init__(self, name: str, cache: Path, *, progress: Progress) -> None:
        """name: "tensorrt" or "tensorrt_rtx". Raises EngineError where there is no GPU, MissingExtraError where a
        library is not installed."""
        self.name = name
        try:
            gpu = probe()
        except NoDriver as reason:
            raise EngineError(f"{name} needs a GPU: {reason}") from None
        try:
            self._trt = importlib.import_module(name)
            cuda = importlib.import_module("pycuda.driver")
        except ImportError as error:
            extra = "rtx" if name == "tensorrt_rtx" else "gpu"
            raise MissingExtraError(f"{name} is not installed ({error}): pip install 'spoton-edge[{extra}]'") from None
        self._gpu, self._progress = gpu, progress
        self._cache = EngineCache(cache)
        self.device = CudaDevice(cuda, gpu)
        self._logger = self._trt.Logger(self._trt.Logger.WARNING)
        self._runtime = self._trt.Runtime(self._logger)
        self._kernels = self._load_kernels(cuda)

    def memory(self) -> tuple[int, int]:
        """See Backend.memory."""
        return self.device.memory()

    def load(self, model: Path, work: Workload) -> TensorRtEngine:
        """See Backend.load. An engine that is missing, stale or damaged is built first; one that the library refuses is
        built once more."""
        key = self._key(model, work)
        path = self._cache.find(key) or build(self._cache, key, model, progress=self._progress)
        try:
            return self._open(path, key, work)
        except EngineRefusedError as refusal:
            log.warning("%s: %s; building it again", path.name, refusal)
            self._cache.drop(key)
            return self._open(build(self._cache, key, model, progress=self._progress), key, work)

    def prepare(self, model: Path, work: Workload, cancelled: Callable[[], bool]) -> None:
        """See Backend.prepare: build the engine where it is missing."""
        key = self._key(model, work)
        if self._cache.find(key) is None:
            build(self._cache, key, model, progress=self._progress, cancelled=cancelled)

    def _key(self, model: Path, work: Workload) -> Key:
        return key_of(model, work, self.name, self._trt.__version__, self._gpu)

    def _open(self, path: Path, key: Key, work: Workload) -> TensorRtEngine:
        jit = self._cache.jit_path(key)
        loaded = TensorRtEngine(
            self._trt, self._runtime, self.device, path.read_bytes(), work, kernels=self._kernels, jit=jit
        )
        loaded.warm_up()
        return loaded

    def _load_kernels(self, cuda: Any) -> Any | None:
        """The preprocessing kernels; None, and a line in the log, where they cannot be compiled."""
        try:
            compiler = Nvrtc()
            name = "preprocess.cu"
            code = compiler.compile(preprocess_source(), name, self._gpu.compute_capability, cubin=True)
            return cuda.module_from_buffer(code)
        except (MissingExtraError, EngineError) as reason:
            log.warning("pictures are prepared on the CPU: %s", reason)
        except Exception as error:  # pycuda's own exceptions exist only where it is installed
            log.warning("pictures are prepared on the CPU: %s", gpu_trouble(error, self._gpu))
        return None


class EngineRefusedError(EngineError):
    """The library does not accept a built engine."""


class TensorRtEngine:
    """A deserialized engine, its context, and buffers for two batches under way."""

    def __init__(
        self,
        trt: Any,
        runtime: Any,
        device: CudaDevice,
        plan: bytes,
        work: Workload,
        *,
        kernels: Any | None,
        jit: Path | None = None,
    ) -> None:
        """plan: the serialized engine; kernels: the module of preprocess.cu, if there is one; jit: where TensorRT-RTX
        may keep what it compiles at the start. Raises EngineRefusedError, EngineError, ModelError."""
        self._trt, self._device, self._kernels, self._jit = trt, device, kernels, jit
        self.backend = f"{trt.__name__} {trt.__version__} {device.gpu.name}"
        self.max_batch = work.largest
        self._typical = work.typical
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineRefusedError("the library refuses the engine")
        self._engine = engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.inputs = tuple(self._spec(name) for name in names if self._is_input(name))
        self.outputs = tuple(self._spec(name) for name in names if not self._is_input(name))
        if len(self.inputs) != 1 or len(self.inputs[0].shape) != 4:
            raise ModelError(f"a network with one input (B, 3, H, W) is needed, this one has {self.inputs}")
        self._name = self.inputs[0].name
        width, height = work.size
        self._shape = (3, height, width)
        self.input_dtype = self.inputs[0].dtype
        self._make_context()
        self._allocate()
        self._waiting: deque[tuple[int, int]] = deque()  # slot, batch
        self._slot = 0

    def infer(self, batch: F4) -> tuple[F4, ...]:
        """See Engine.infer."""
        self.submit(batch)
        return self.collect()

    def submit(self, batch: F4) -> None:
        """See Engine.submit."""
        count = len(batch)
        slot = self._begin(count)
        with self._device.guarded():
            self._uploaded[slot].synchronize()
            self._host_input[slot][:count] = batch
            self._device.cuda.memcpy_htod_async(self._input, self._host_input[slot][:count], self._device.stream)
            self._uploaded[slot].record(self._device.stream)
        self._enqueue(slot, count)

    def submit_loaded(self, count: int) -> None:
        """Start on `count` pictures that lie in the device's input buffer already; see Engine.submit."""
        self._enqueue(self._begin(count), count)

    def collect(self) -> tuple[F4, ...]:
        """See Engine.collect."""
        slot, count = self._waiting.popleft()
        with self._device.guarded():
            self._finished[slot].synchronize()
        return tuple(output[:count].astype(np.float32, copy=False) for output in self._host_outputs[slot])

    def picture_input(self, size: tuple[int, int], form: PictureFormat, largest: int) -> Any:
        """See TakesPictures.picture_input."""
        from spoton_edge.engine.host_input import HostInput

        if self._kernels is None:
            return HostInput(self, size, form, largest)
        return CudaInput(self._device, self._kernels, self, size, form, largest)

    @property
    def input_address(self) -> int:
        """Where the input (B, 3, H, W) lies on the device."""
        return int(self._input)

    def warm_up(self) -> None:
        """Run once on nothing, so that what is made at first use is made now. What TensorRT-RTX has compiled for this
        GPU is written beside the engine, so that the next start is quick."""
        blank = np.zeros((self.max_batch, *self._shape), np.float32)
        for count in sorted({1, self._typical, self.max_batch}):
            self.infer(blank[:count])
        if self._runtime_cache is None or self._jit is None:
            return
        with contextlib.suppress(OSError):  # a full disk costs time at the next start, nothing else
            write_whole(self._jit, bytes(self._runtime_cache.serialize()))

    def _make_context(self) -> None:
        """A fresh execution context, with the compile cache where the library has one."""
        engine = self._engine
        self._runtime_cache: Any = None
        if hasattr(self._trt, "IRuntimeCache"):
            runtime_config = engine.create_runtime_config()
            runtime_cache = runtime_config.create_runtime_cache()
            if self._jit is not None and self._jit.is_file():
                runtime_cache.deserialize(self._jit.read_bytes())
            runtime_config.set_runtime_cache(runtime_cache)
            self._runtime_cache = runtime_cache
            context = engine.create_execution_context(runtime_config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise EngineError(gpu_trouble(MemoryError(), self._device.gpu))
        self._context = context

    def _allocate(self) -> None:
        device, largest = self._device, (self.max_batch, *self._shape)
        dtype = np.dtype(self.input_dtype)
        self._input = device.alloc(int(np.prod(largest)) * dtype.itemsize)
        self._host_input = [device.pinned(largest, dtype) for _ in range(SLOTS)]
        self._set_batch(self.max_batch)
        self._host_outputs: list[list[np.ndarray]] = [[] for _ in range(SLOTS)]
        self._outputs: list[list[Any]] = [[] for _ in range(SLOTS)]
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if any(axis < 0 for axis in shape) or not shape or shape[0] != self.max_batch:
                raise ModelError(f"output {spec.name} {shape} does not have one row a picture, of a known size")
            for slot in range(SLOTS):
                host = device.pinned(shape, np.dtype(spec.dtype))
                self._host_outputs[slot].append(host)
                self._outputs[slot].append(device.alloc(host.nbytes))
        self._uploaded = [device.cuda.Event() for _ in range(SLOTS)]
        self._finished = [device.cuda.Event() for _ in range(SLOTS)]

    def _begin(self, count: int) -> int:
        if not 1 <= count <= self.max_batch:
            raise EngineError(f"a batch of {count} for an engine that takes 1 to {self.max_batch}")
        if len(self._waiting) == SLOTS:
            raise EngineError("two batches are under way and none was collected")
        slot, self._slot = self._slot, (self._slot + 1) % SLOTS
        return slot

    def _set_batch(self, count: int) -> None:
        if not self._context.set_input_shape(self._name, (count, *self._shape)):
            raise EngineError(f"{self.backend} refuses a batch of {count}")

    def _enqueue(self, slot: int, count: int) -> None:
        """Run on the device's input; a failure is tried once more with a fresh context, the input being there still."""
        for last in (False, True):
            try:
                self._execute(slot, count)
                break
            except Exception as error:
                trouble = gpu_trouble(error, self._device.gpu)
                if last:
                    raise EngineError(trouble) from error
                log.warning("%s; trying once more with a fresh context", trouble)
                try:
                    self._make_context()
                except Exception as again:
                    raise EngineError(trouble) from again
        self._waiting.append((slot, count))

    def _execute(self, slot: int, count: int) -> None:
        device, context = self._device, self._context
        self._set_batch(count)
        context.set_tensor_address(self._name, int(self._input))
        for spec, address in zip(self.outputs, self._outputs[slot], strict=True):
            context.set_tensor_address(spec.name, int(address))
        if not context.execute_async_v3(device.stream.handle):
            raise RuntimeError("the network could not be started")
        for host, address in zip(self._host_outputs[slot], self._outputs[slot], strict=True):
            device.cuda.memcpy_dtoh_async(host[:count], address, device.stream)
        self._finished[slot].record(device.stream)

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)

    def _spec(self, name: str) -> TensorSpec:
        engine = self._engine
        shape = tuple(None if axis < 0 else axis for axis in engine.get_tensor_shape(name))
        return TensorSpec(name, shape, np.dtype(self._trt.nptype(engine.get_tensor_dtype(name))).name)


LIBRARIES = ("tensorrt", "tensorrt_rtx")


def installed() -> str:
    """The library that is there, the better one where both are. Raises MissingExtraError where none is."""
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return name
    raise MissingExtraError("neither tensorrt nor tensorrt_rtx is installed: pip install 'spoton-edge[gpu]' or [rtx]")


def library_version(name: str) -> str:
    """The version of a library, as it is in keys; importing it makes nothing of the GPU's. Raises MissingExtraError."""
    try:
        return str(importlib.import_module(name).__version__)
    except ImportError as error:
        extra = "rtx" if name == "tensorrt_rtx" else "gpu"
        raise MissingExtraError(f"{name} is not installed ({error}): pip install 'spoton-edge[{extra}]'") from None


def key_of(model: Path, work: Workload, library: str, version: str, gpu: Gpu) -> Key:
    """The key of the engine of an ONNX file. Raises ModelError where that cannot be read."""
    try:
        digest = sha256(model)
    except OSError as error:
        raise ModelError(f"{model}: {error.strerror}") from None
    return Key(
        model=model.name,
        model_sha256=digest,
        precision="fp16",
        size=work.size,
        typical=work.typical,
        largest=work.largest,
        library=library,
        library_version=version,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        driver=gpu.driver,
    )
