"""The GPU's path on the host: the kernels' arithmetic equals the CPU's, and what surrounds them works as it will there.

The kernel bodies, the engine and the buffers' bookkeeping are the real ones; only pycuda and TensorRT's runtime are
stood in for (`gpu_on_host.py`). `tests/gpu` runs the same on a GPU.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.detector import Detector
from spoton_edge.embedder import ReidNetwork
from spoton_edge.engine import PictureFormat, Workload, tensorrt
from spoton_edge.engine.backends import no_progress
from spoton_edge.engine.builder import Progress
from spoton_edge.engine.cache import EngineCache, Key
from spoton_edge.engine.cuda import CudaDevice, gpu_trouble
from spoton_edge.engine.cuda_input import CudaInput
from spoton_edge.engine.driver import Gpu
from spoton_edge.engine.host_input import HostInput
from spoton_edge.engine.nvrtc import Nvrtc, preprocess_source
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.engine.tensorrt import EngineRefusedError, TensorRtBackend, TensorRtEngine
from spoton_edge.errors import EngineError, ExitCode, MissingExtraError, ModelError
from spoton_edge.graph_surgery import load_graph
from spoton_edge.half_precision import to_half
from spoton_edge.models import manifest_for
from spoton_edge.service import Service
from spoton_edge.types import F4, FrameBatch
from tests.e2e.harness import lacking
from tests.gpu_on_host import Event as HostEvent
from tests.gpu_on_host import HostCuda, HostTensorRt, Kernel, compile_for_host
from tests.onnx_graphs import Graph
from tests.steady import camera, write_detector, write_reid, write_site
from tests.waiting import until

GPU = Gpu("host", (8, 9), 8 << 30, "13.0")
IMAGENET = PictureFormat((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "rgb", letterbox=False)
FORMS = [PictureFormat(), PictureFormat((0, 0, 0), (255, 255, 255), "rgb"), IMAGENET]


class Echo:
    """An engine whose output is its input, on the host or on the "device"."""

    def __init__(self, dtype: str = "float32", shape: tuple[int, ...] = ()) -> None:
        self.input_dtype = dtype
        self.held = np.zeros(shape, dtype)

    @property
    def input_address(self) -> int:
        return self.held.ctypes.data

    def submit_loaded(self, count: int) -> None:
        self.found = (self.held[:count].astype(np.float32),)

    def collect(self) -> tuple[F4, ...]:
        return self.found

    def infer(self, batch: F4) -> tuple[F4, ...]:
        return (batch.copy(),)


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> HostCuda:
    if shutil.which("g++") is None:
        lacking("g++, which compiles the CUDA kernels for the host")
    return HostCuda(compile_for_host(tmp_path_factory.mktemp("kernels")))


def inputs(cuda: HostCuda, form: PictureFormat, size: tuple[int, int], dtype: str) -> tuple[CudaInput, HostInput]:
    width, height = size
    device = CudaDevice(cuda, GPU)
    echo = Echo(dtype, (4, 3, height, width))
    on_device = CudaInput(device, cuda.module_from_buffer(b""), echo, size, form, 4)
    return on_device, HostInput(echo, size, form, 4)  # type: ignore[arg-type]


def pictures(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [
        rng.integers(0, 256, (int(rng.integers(1, 50)), int(rng.integers(1, 50)), 3), dtype=np.uint8)
        for _ in range(count)
    ]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 9999), form=st.sampled_from(FORMS), width=st.integers(1, 40), height=st.integers(1, 40))
def test_the_letterbox_kernel_equals_the_cpu_bit_for_bit(
    cuda: HostCuda, seed: int, form: PictureFormat, width: int, height: int
) -> None:
    images = pictures(np.random.default_rng(seed), 3)
    on_device, on_host = inputs(cuda, form, (width, height), "float32")
    assert on_device.letterbox(images) == on_host.letterbox(images)
    np.testing.assert_array_equal(on_device.infer(3)[0], on_host.infer(3)[0])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 9999), form=st.sampled_from(FORMS))
def test_the_crop_kernel_equals_the_cpu_bit_for_bit_also_at_the_edges(
    cuda: HostCuda, seed: int, form: PictureFormat
) -> None:
    rng = np.random.default_rng(seed)
    images = pictures(rng, 2)
    boxes = rng.uniform(-20, 60, (4, 4)).astype(np.float32)
    on_device, on_host = inputs(cuda, form, (8, 16), "float32")
    for side in (on_device, on_host):
        side.crop(images, 0, boxes[:3], 0)
        side.crop(images, 1, boxes[3:], 3)
    np.testing.assert_array_equal(on_device.infer(4)[0], on_host.infer(4)[0])


@pytest.mark.parametrize("form", FORMS, ids=["grey levels", "0 to 1", "ImageNet"])
def test_half_precision_planes_are_the_same_rounded(cuda: HostCuda, form: PictureFormat) -> None:
    images = pictures(np.random.default_rng(5), 4)
    on_device, on_host = inputs(cuda, form, (32, 32), "float16")
    for side in (on_device, on_host):
        side.letterbox(images)
    half, full = on_device.infer(4)[0], on_host.infer(4)[0]
    np.testing.assert_array_equal(half, full.astype(np.float16).astype(np.float32))
    if max(form.std) > 1:  # of numbers about 1, half precision keeps a 255th
        assert np.abs(half - full).max() <= 1 / 255


def test_a_batch_is_one_launch_and_frames_are_uploaded_once_without_new_memory(cuda: HostCuda) -> None:
    device = CudaDevice(cuda, GPU)
    echoes = [Echo("float32", (4, 3, 16, 16)) for _ in range(2)]
    module = cuda.module_from_buffer(b"")
    detect, embed = (CudaInput(device, module, echo, (16, 16), PictureFormat(), 4) for echo in echoes)
    rng = np.random.default_rng(0)

    def batch() -> None:
        images = [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(4)]
        detect.letterbox(images)
        detect.infer(4)
        embed.crop(images, 2, np.array([[0, 0, 20, 20]], np.float32), 0)
        embed.infer(1)

    for _ in range(2):  # one for each of the two sets of buffers
        batch()
    allocations, launches = cuda.allocations, cuda.launches
    for _ in range(5):
        batch()
    assert cuda.allocations == allocations
    assert cuda.launches == launches + 10


def halved(path: Path) -> bytes:
    return to_half(load_graph(path)).SerializeToString()


def batch_of(images: list[np.ndarray]) -> FrameBatch:
    count = len(images)
    return FrameBatch(np.arange(count, dtype=np.int16), np.zeros(count, np.int64), np.zeros(count, np.int64), images)


@pytest.fixture
def engine_of(cuda: HostCuda, tmp_path: Path) -> object:
    def make(plan: bytes, work: Workload, trt: HostTensorRt | None = None, kernels: bool = True) -> TensorRtEngine:
        library = trt or HostTensorRt()
        module = cuda.module_from_buffer(b"") if kernels else None
        runtime = library.Runtime(None)
        return TensorRtEngine(
            library, runtime, CudaDevice(cuda, GPU), plan, work, kernels=module, jit=tmp_path / "net.jit"
        )

    return make


@pytest.mark.parametrize("kernels", [True, False], ids=["pictures on the GPU", "pictures on the CPU"])
def test_the_detector_on_the_gpu_path_sees_what_the_half_precision_graph_sees(
    engine_of: object, shared_models: Path, tmp_path: Path, kernels: bool
) -> None:
    path = shared_models / "yolox_nano_dyn_bhw.onnx"
    manifest, plan = manifest_for(path, "detector"), halved(path)
    (tmp_path / "half.onnx").write_bytes(plan)
    rng = np.random.default_rng(3)
    frames = [np.kron(rng.integers(0, 256, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(5)]
    engine = engine_of(plan, Workload((160, 96), 2, 2), kernels=kernels)  # type: ignore[operator]
    ways = [
        (engine, 2),
        (OnnxRuntimeEngine(tmp_path / "half.onnx", threads=1), 5),
    ]  # in three calls, two at once; in one
    found = [
        Detector(engine, manifest, input_size=(160, 96), min_score=1e-4, max_batch=most).detect(batch_of(frames))
        for engine, most in ways
    ]
    assert len(found[0].score) >= 2
    np.testing.assert_array_equal(found[0].offsets, found[1].offsets)
    np.testing.assert_allclose(found[0].xyxy, found[1].xyxy, atol=1e-3)
    np.testing.assert_allclose(found[0].score, found[1].score, atol=1e-6)


def test_re_identification_on_the_gpu_path_sees_what_the_half_precision_graph_sees(
    engine_of: object, shared_models: Path, tmp_path: Path
) -> None:
    plan = halved(shared_models / "osnet_x0_25_msmt17_dynbatch.onnx")
    (tmp_path / "half.onnx").write_bytes(plan)
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for _ in range(2)]
    boxes = [np.array([[0, 0, 40, 90], [50, 10, 90, 80], [-9, -9, 20, 200]], np.float32), np.zeros((0, 4), np.float32)]
    engines = [
        engine_of(plan, Workload((128, 256), 1, 2)),  # type: ignore[operator]
        OnnxRuntimeEngine(tmp_path / "half.onnx", threads=1),
    ]
    vectors = [
        ReidNetwork(
            engine, input_size=(128, 256), mean=IMAGENET.mean, std=IMAGENET.std, colour="rgb", crops_per_batch=2
        ).describe(images, boxes)
        for engine in engines
    ]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def doubling() -> bytes:
    g = Graph()
    model = g.model((4, 4), [("out", g.op("Add", "images", "images"), [3, 4, 4])])
    data: bytes = model.SerializeToString()
    return data


def test_two_batches_may_be_under_way_and_come_back_in_order(engine_of: object) -> None:
    engine = engine_of(doubling(), Workload((4, 4), 1, 2))  # type: ignore[operator]
    for _ in range(3):
        engine.submit(np.full((1, 3, 4, 4), 1, np.float32))
        engine.submit(np.full((2, 3, 4, 4), 2, np.float32))
        with pytest.raises(EngineError, match="two batches are under way"):
            engine.submit(np.zeros((1, 3, 4, 4), np.float32))
        first, second = engine.collect()[0].copy(), engine.collect()[0].copy()
        assert (first == 2).all()
        assert first.shape[0] == 1
        assert (second == 4).all()
        assert second.shape[0] == 2


def test_a_failed_batch_is_tried_once_with_a_fresh_context_and_then_the_engine_is_lost(engine_of: object) -> None:
    trt = HostTensorRt()
    engine = engine_of(doubling(), Workload((4, 4), 1, 1), trt)  # type: ignore[operator]
    contexts, trt.faults = trt.contexts, 1
    assert (engine.infer(np.ones((1, 3, 4, 4), np.float32))[0] == 2).all()
    assert trt.contexts == contexts + 1
    trt.faults = 2
    with pytest.raises(EngineError, match="the GPU host failed") as caught:
        engine.infer(np.ones((1, 3, 4, 4), np.float32))
    assert caught.value.exit_code == ExitCode.ENGINE_LOST


def test_a_batch_larger_than_the_profile_is_refused(engine_of: object) -> None:
    engine = engine_of(doubling(), Workload((4, 4), 1, 2))  # type: ignore[operator]
    with pytest.raises(EngineError, match="takes 1 to 2"):
        engine.infer(np.zeros((3, 3, 4, 4), np.float32))


def test_an_engine_that_the_library_refuses_is_known_as_such(engine_of: object) -> None:
    trt = HostTensorRt()
    trt.refuse.add(doubling())
    with pytest.raises(EngineRefusedError):
        engine_of(doubling(), Workload((4, 4), 1, 1), trt)  # type: ignore[operator]


def test_a_network_without_one_row_a_picture_is_refused(engine_of: object) -> None:
    g = Graph()
    model = g.model((4, 4), [("out", g.op("ReduceSum", "images", g.ints(0, 2, 3), keepdims=0), [])])
    with pytest.raises(ModelError, match="does not have one row a picture"):
        engine_of(model.SerializeToString(), Workload((4, 4), 1, 2))  # type: ignore[operator]


def test_what_the_gpu_compiled_is_kept_beside_the_engine_for_the_next_start(engine_of: object, tmp_path: Path) -> None:
    trt = HostTensorRt()
    engine_of(doubling(), Workload((4, 4), 1, 1), trt).warm_up()  # type: ignore[operator]
    assert (tmp_path / "net.jit").read_bytes() == b"compiled"
    assert trt.jit == []
    engine_of(doubling(), Workload((4, 4), 1, 1), trt)  # type: ignore[operator]
    assert trt.jit == [b"compiled"]


@pytest.fixture
def backend(
    cuda: HostCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TensorRtBackend, HostTensorRt, list[Key]]:
    """TensorRT-RTX's backend on the host, whose builder copies the ONNX file; the keys that were built."""
    trt, built = HostTensorRt(), list[Key]()

    def build(cache: EngineCache, key: Key, model: Path, **options: object) -> Path:
        built.append(key)
        with cache.building(key) as path:
            # the same network, other bytes: a rebuilt engine is not the one that was refused
            path.write_bytes(model.read_bytes() + b"\x32\x01" + bytes([48 + len(built)]))
            return cache.keep(key, path, build_s=1.0, input_dtype="float32")

    monkeypatch.setattr(tensorrt, "probe", lambda: GPU)
    monkeypatch.setattr(tensorrt, "build", build)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)  # type: ignore[arg-type]
    return TensorRtBackend("tensorrt_rtx", tmp_path, progress=no_progress), trt, built


def test_an_engine_is_built_once_and_found_by_the_next_start(
    backend: tuple[TensorRtBackend, HostTensorRt, list[Key]], tmp_path: Path
) -> None:
    opened, _, built = backend
    model = tmp_path / "net.onnx"
    model.write_bytes(doubling())
    for _ in range(2):
        engine = opened.load(model, Workload((4, 4), 1, 2))
        assert (engine.infer(np.ones((2, 3, 4, 4), np.float32))[0] == 2).all()
    assert len(built) == 1
    assert "host" in engine.backend


def test_an_engine_that_its_library_refuses_is_built_once_more(
    backend: tuple[TensorRtBackend, HostTensorRt, list[Key]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened, trt, built = backend
    model = tmp_path / "net.onnx"
    model.write_bytes(doubling())
    work = Workload((4, 4), 1, 1)
    trt.refuse.add(doubling() + b"\x32\x011")
    opened.load(model, work)
    assert len(built) == 2
    assert "building it again" in caplog.text
    trt.refuse.update(doubling() + b"\x32\x01" + bytes([digit]) for digit in b"123456789")
    with pytest.raises(EngineError, match="refuses the engine"):
        opened.load(model, work)


class OutOfMemoryError(Exception):
    """As pycuda's LogicError looks."""


def test_a_gpu_out_of_memory_is_said_with_the_remedy(cuda: HostCuda) -> None:
    broken = HostCuda(cuda._kernels)
    device = CudaDevice(broken, GPU)
    broken.fail = OutOfMemoryError("cuMemAlloc failed: out of memory")
    with pytest.raises(EngineError, match=r"out of memory: make room, or lower detector\.input"):
        device.alloc(1)


def test_memory_is_told_as_used_and_whole(cuda: HostCuda) -> None:
    assert CudaDevice(cuda, GPU).memory() == (5 * 2**30, 8 * 2**30)


def test_a_lost_gpu_is_told_from_one_that_failed() -> None:
    assert "is lost" in gpu_trouble(RuntimeError("cuStreamSynchronize failed: GPU has fallen off the bus"), GPU)
    assert "failed: cuLaunchKernel" in gpu_trouble(RuntimeError("cuLaunchKernel failed: misaligned address"), GPU)


@pytest.fixture
def service(
    backend: tuple[TensorRtBackend, HostTensorRt, list[Key]], tmp_path: Path
) -> Iterator[tuple[Service, HostTensorRt]]:
    """A daemon whose detector and Re-ID run on the stand-in's GPU, on two moving pictures, built and not yet run."""
    cameras = [camera("a", 0.0), camera("b", 10.0)]
    looks = {"model": str(write_reid(tmp_path / "looks.onnx", 8))}
    runtime = {"backend": "tensorrt_rtx"}
    path = write_site(tmp_path / "site.yaml", write_detector(tmp_path), cameras, reid=looks, runtime=runtime)
    made = Service(path, config.load(path), cache=tmp_path / "cache", state=tmp_path / "state")
    assert made.pipeline.detector.backend.startswith("tensorrt_rtx")
    yield made, backend[1]
    made.stop()


@pytest.mark.parametrize("place", ["memcpy_htod_async", "memcpy_dtoh_async", "mem_get_info", "launch", "synchronize"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("failed: out of memory", r"out of memory: make room, or lower detector\.input"),
        ("failed: GPU has fallen off the bus", "is lost: .*fallen off the bus"),
        ("failed: an illegal memory access was encountered", "failed: .*an illegal memory access"),
    ],
)
def test_a_daemon_whose_gpu_fails_says_in_a_line_how_and_asks_for_a_restart(
    service: tuple[Service, HostTensorRt],
    cuda: HostCuda,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    words: str,
    told: str,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"{place} {words}")

    targets: dict[str, tuple[object, str]] = {
        "launch": (Kernel, "prepared_async_call"),
        "synchronize": (HostEvent, "synchronize"),
    }
    monkeypatch.setattr(*targets.get(place, (cuda, place)), fail)
    with pytest.raises(EngineError, match=rf"^the GPU host (\(8\.0 GiB\) is )?{told}") as caught:
        service[0].run()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.ENGINE_LOST


def test_a_daemon_goes_on_after_a_failure_that_a_fresh_context_mends(
    service: tuple[Service, HostTensorRt], caplog: pytest.LogCaptureFixture
) -> None:
    daemon, trt = service
    contexts, trt.faults = trt.contexts, 1
    done = threading.Thread(target=stop_after, args=(daemon, 3))
    done.start()
    assert daemon.run() == ExitCode.STOPPED
    done.join()
    assert trt.contexts == contexts + 1
    assert "trying once more with a fresh context" in caplog.text
    assert daemon.pipeline.batches >= 3


def test_an_engine_is_built_beside_the_running_one_and_the_operator_sees_how_far_it_is(
    service: tuple[Service, HostTensorRt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, pipeline = service[0], service[0].pipeline
    build, finish = tensorrt.build, threading.Event()

    def slow(*key: object, progress: Progress, **options: object) -> Path:
        progress("tactics", 0.4, 12.0)
        assert finish.wait(30)
        path = build(*key, progress=progress, **options)  # type: ignore[arg-type]
        progress("built", 1.0, 0.0)
        return path

    monkeypatch.setattr(tensorrt, "build", slow)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    old = pipeline.embedder
    model, site = write_reid(tmp_path / "other.onnx", 12), tmp_path / "site.yaml"
    site.write_text(site.read_text().replace("looks.onnx", "other.onnx"))
    until(lambda: pipeline.batches > 0)
    assert daemon.reload() == ["reid.model: changed; takes effect when the new network is ready"]
    until(lambda: "about 12 s left" in daemon._note_for_operator())
    assert daemon._note_for_operator() == (
        "reid.model is being prepared; building an engine: 40 %, about 12 s left, tactics"
    )
    before = pipeline.batches
    until(lambda: pipeline.batches > before + 2)
    assert pipeline.embedder is old
    finish.set()
    until(lambda: pipeline.embedder is not old)
    until(lambda: daemon.status()["reid"] == model.name)
    assert daemon._note_for_operator() == ""
    daemon.stop()
    thread.join(30)


def stop_after(daemon: Service, batches: int) -> None:
    try:
        until(lambda: daemon.pipeline.batches >= batches)
    finally:
        daemon.stop()


@pytest.fixture(scope="module")
def compiler() -> Nvrtc:
    try:
        return Nvrtc()
    except MissingExtraError:
        lacking("nvidia-cuda-nvrtc, which compiles CUDA kernels")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0)])
def test_the_kernels_compile_to_machine_code_for_every_gpu_in_use(compiler: Nvrtc, capability: tuple[int, int]) -> None:
    code = compiler.compile(preprocess_source(), "preprocess.cu", capability, cubin=True)
    assert code.startswith(b"\x7fELF")
    assert all(name in code for name in (b"prepare_f16", b"prepare_f32"))
    assert b"fma" not in compiler.compile(preprocess_source(), "preprocess.cu", capability)


def test_a_kernel_that_does_not_compile_is_one_line_with_the_compilers_words(compiler: Nvrtc) -> None:
    with pytest.raises(EngineError, match=r"odd\.cu does not compile for compute_89: .*identifier") as caught:
        compiler.compile("int f() { return nothing; }", "odd.cu", (8, 9))
    assert "\n" not in str(caught.value)
