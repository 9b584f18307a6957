"""What needs an NVIDIA GPU with its driver and pycuda: `make test-gpu`. Skipped by name where they are absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spoton_edge.engine import PictureFormat, Workload
from spoton_edge.engine.backends import no_progress
from spoton_edge.engine.cache import EngineCache
from spoton_edge.engine.cuda import CudaDevice
from spoton_edge.engine.cuda_input import CudaInput
from spoton_edge.engine.driver import Gpu, NoDriver, probe
from spoton_edge.engine.host_input import HostInput
from spoton_edge.engine.nvrtc import Nvrtc, preprocess_source
from spoton_edge.engine.tensorrt import LIBRARIES, TensorRtBackend
from spoton_edge.engine_check import compare_detector, compare_embeddings
from spoton_edge.models import manifest_for
from spoton_edge.pictures import recorded
from spoton_edge.types import F4
from tests.test_gpu_path import FORMS

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    try:
        return probe()
    except NoDriver as reason:
        pytest.skip(f"no GPU: {reason}")


@pytest.fixture(scope="module")
def device(gpu: Gpu) -> Iterator[CudaDevice]:
    cuda = pytest.importorskip("pycuda.driver", reason="no pycuda")
    opened = CudaDevice(cuda, gpu)
    yield opened
    opened.close()


class DeviceEcho:
    """An engine whose output is its input on the device."""

    def __init__(self, device: CudaDevice, dtype: str, shape: tuple[int, ...]) -> None:
        self.input_dtype = dtype
        self._device, self._shape = device, shape
        self._memory = device.alloc(int(np.prod(shape)) * np.dtype(dtype).itemsize)

    @property
    def input_address(self) -> int:
        return int(self._memory)

    def submit_loaded(self, count: int) -> None:
        host = self._device.pinned(self._shape, self.input_dtype)
        self._device.cuda.memcpy_dtoh_async(host, self._memory, self._device.stream)
        self._device.stream.synchronize()
        self.found = (host[:count].astype(np.float32),)

    def collect(self) -> tuple[F4, ...]:
        return self.found

    def infer(self, batch: F4) -> tuple[F4, ...]:
        return (batch.copy(),)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("form", FORMS, ids=["grey levels", "0 to 1", "ImageNet"])
@pytest.mark.parametrize("seed", range(5))
def test_the_kernels_on_the_gpu_equal_the_cpu(
    device: CudaDevice, gpu: Gpu, form: PictureFormat, dtype: str, seed: int
) -> None:
    code = Nvrtc().compile(preprocess_source(), "preprocess.cu", gpu.compute_capability, cubin=True)
    echo = DeviceEcho(device, dtype, (4, 3, 96, 160))
    on_device = CudaInput(device, device.cuda.module_from_buffer(code), echo, (160, 96), form, 4)
    on_host = HostInput(echo, (160, 96), form, 4)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, [*rng.integers(1, 400, 2).tolist(), 3], dtype=np.uint8) for _ in range(4)]
    boxes = rng.uniform(-50, 450, (4, 4)).astype(np.float32)
    for side in (on_device, on_host):
        side.letterbox(images)
    expected = on_host.infer(4)[0].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(on_device.infer(4)[0], expected)
    for side in (on_device, on_host):
        side.crop(images, 1, boxes, 0)
    np.testing.assert_array_equal(on_device.infer(4)[0], on_host.infer(4)[0].astype(dtype).astype(np.float32))


@pytest.fixture(scope="module", params=LIBRARIES)
def backend(
    request: pytest.FixtureRequest, gpu: Gpu, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TensorRtBackend]:
    for module in (request.param, "pycuda"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no {module}")
    opened = TensorRtBackend(request.param, tmp_path_factory.mktemp("cache"), progress=no_progress)
    yield opened
    opened.device.close()


def test_the_detector_sees_in_an_engine_what_it_sees_on_the_cpu(
    backend: TensorRtBackend, shared_models: Path, shared_data: Path
) -> None:
    path = shared_models / "yolox_nano_dyn_bhw.onnx"
    pictures = [image.copy() for _, _, image in recorded(shared_data / "pets09_s2l1_view1", 100)]
    engine = backend.load(path, Workload((416, 416), 1, 4))
    report = compare_detector(path, engine, pictures, (416, 416), manifest_for(path, "detector"))
    assert report.good, report.summary


@pytest.mark.parametrize("name", ["osnet_x0_25_msmt17_dynbatch.onnx", "person-reid-retail-0287_dynbatch.onnx"])
def test_people_look_in_an_engine_as_on_the_cpu(
    backend: TensorRtBackend, shared_models: Path, shared_data: Path, name: str
) -> None:
    path = shared_models / name
    crops = [image[100:356, 200:328] for _, _, image in recorded(shared_data / "pets09_s2l1_view1", 100)]
    engine = backend.load(path, Workload((128, 256), 1, 4))
    report = compare_embeddings(path, engine, crops, manifest_for(path, "reid"))
    assert report.good, report.summary


def test_a_batch_gives_what_its_pictures_give_alone_and_batches_overlap(
    backend: TensorRtBackend, shared_models: Path
) -> None:
    engine = backend.load(shared_models / "osnet_x0_25_msmt17_dynbatch.onnx", Workload((128, 256), 1, 4))
    batch = np.random.default_rng(0).normal(size=(4, 3, 256, 128)).astype(np.float32)
    together = engine.infer(batch)[0].copy()
    engine.submit(batch[:2])
    engine.submit(batch[2:])
    halves = np.concatenate([engine.collect()[0].copy(), engine.collect()[0].copy()])
    np.testing.assert_allclose(halves, together, atol=2e-2)


def test_a_second_start_finds_the_engine_and_what_the_gpu_compiled(
    backend: TensorRtBackend, shared_models: Path
) -> None:
    path, work = shared_models / "yolox_nano_dyn_bhw.onnx", Workload((416, 416), 1, 4)
    backend.load(path, work)
    folder = backend._cache.folder
    before = {entry.name: entry.stat().st_mtime_ns for entry in folder.glob("*.engine")}
    backend.load(path, work)
    assert {entry.name: entry.stat().st_mtime_ns for entry in folder.glob("*.engine")} == before
    if backend.name == "tensorrt_rtx":
        assert list(folder.glob("*.jit"))
    assert [row.state for row in EngineCache(folder.parent).rows()].count("good") >= 1
