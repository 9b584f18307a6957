import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from spoton_edge.engine import Engine, Workload, driver
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import EngineError, ExitCode, ModelError


def doubling_network(path: Path, *, channels: int = 3, element: int = TensorProto.FLOAT) -> Path:
    """A network that doubles its input."""
    shape = ["batch", channels, 4, 4]
    graph = helper.make_graph(
        [helper.make_node("Add", ["images", "images"], ["doubled"])],
        "doubling",
        [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info("doubled", element, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def load_engine(model: Path, *, backend: str, threads: int = 1) -> Engine:
    return Backends(backend, model.parent / "cache", threads=threads).load(model, Workload((4, 4), 1, 3))


def test_an_engine_answers_batches_of_any_size_and_reuses_its_buffers(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto", threads=1)
    rng = np.random.default_rng(0)
    addresses = set()
    for size in (1, 3, 1, 3, 3, 1, 1, 3):
        batch = rng.normal(size=(size, 3, 4, 4)).astype(np.float32)
        (doubled,) = engine.infer(batch)
        np.testing.assert_array_equal(doubled, 2 * batch)
        addresses.add(doubled.ctypes.data)
    assert len(addresses) == 4  # two sets for each of two sizes
    assert engine.backend.startswith("onnxruntime")


def test_onnx_runtime_keeps_nothing_to_be_sent_to_its_maker(tmp_path: Path) -> None:
    model = doubling_network(tmp_path / "double.onnx")
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import sys; from pathlib import Path; from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine;"
        "import numpy as np; OnnxRuntimeEngine(Path(sys.argv[1])).infer(np.zeros((1, 3, 4, 4), np.float32))"
    )
    kept = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in kept} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", program, str(model)], env=environment, check=True, timeout=60)
    assert list(home.iterdir()) == []


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: no such model file"):
        load_engine(tmp_path / "absent.onnx", backend="auto")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x08" + bytes(200)])
def test_a_corrupt_model_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corrupt.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"corrupt\.onnx: not a usable ONNX network") as caught:
        load_engine(path, backend="onnxruntime")
    assert "\n" not in str(caught.value)


def test_a_network_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"one input \(B, 3, H, W\)"):
        load_engine(doubling_network(tmp_path / "four.onnx", channels=4), backend="auto")
    with pytest.raises(ModelError, match="float32"):
        load_engine(doubling_network(tmp_path / "double.onnx", element=TensorProto.DOUBLE), backend="auto")


def test_a_half_precision_network_takes_and_gives_single_precision(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "half.onnx", element=TensorProto.FLOAT16), backend="auto")
    (doubled,) = engine.infer(np.full((2, 3, 4, 4), 0.3, np.float32))
    assert doubled.dtype == np.float32
    assert (doubled == np.float32(np.float16(0.3) * 2)).all()


def test_two_submitted_batches_come_back_in_their_order(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto")
    for _ in range(3):
        for value in (1.0, 2.0):
            engine.submit(np.full((1, 3, 4, 4), value, np.float32))
        assert [engine.collect()[0][0, 0, 0, 0] for _ in range(2)] == [2.0, 4.0]


def test_auto_takes_the_best_backend_that_works_and_logs_why_not_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so")
    caplog.set_level("INFO")
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto")
    passed_over = [record.message for record in caplog.records if "passed over" in record.message]
    assert [line.split(" is passed over")[0] for line in passed_over] == [
        "backend tensorrt",
        "backend tensorrt_rtx",
        "backend onnxruntime CUDA",
    ]
    assert all("no NVIDIA driver" in line for line in passed_over[:2])
    assert engine.backend.endswith("CPU")


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
def test_a_gpu_backend_without_a_driver_says_so_before_it_touches_its_library(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so")
    monkeypatch.setitem(sys.modules, backend, None)  # importing it would be a MissingExtraError
    with pytest.raises(EngineError, match=f"{backend} needs a GPU: there is no NVIDIA driver") as caught:
        load_engine(doubling_network(tmp_path / "double.onnx"), backend=backend)
    assert caught.value.exit_code == ExitCode.ENGINE_LOST


FAKE_DRIVER = r"""
#include <stdlib.h>
#include <string.h>
static int code(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }
int cuInit(unsigned flags) { return code("FAKE_INIT"); }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Fake 4060", size); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)8 << 30; return code("FAKE_MEMORY"); }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 9; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "it is broken"; return 0; }
"""


@pytest.fixture(scope="module")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("driver")
    (folder / "cuda.c").write_text(FAKE_DRIVER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", "libcuda.so.1", "cuda.c"], cwd=folder, check=True)
    return str(folder / "libcuda.so.1")


def test_the_driver_tells_what_gpu_there_is(fake_driver: str) -> None:
    assert driver.probe(fake_driver) == driver.Gpu("Fake 4060", (8, 9), 8 << 30, "13.2")


@pytest.mark.parametrize(
    ("variable", "code", "reason"),
    [
        ("FAKE_INIT", "100", "finds no GPU"),
        ("FAKE_INIT", "999", r"cuInit: it is broken \(999\)"),
        ("FAKE_MEMORY", "2", "Mem"),
    ],
)
def test_a_driver_that_fails_is_a_reason_and_no_crash(
    fake_driver: str, monkeypatch: pytest.MonkeyPatch, variable: str, code: str, reason: str
) -> None:
    monkeypatch.setenv(variable, code)
    with pytest.raises(driver.NoDriver, match=reason):
        driver.probe(fake_driver)


def test_a_batch_the_network_cannot_take_is_an_engine_error(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto", threads=1)
    with pytest.raises(EngineError, match=r"\(1, 3, 5, 5\)"):
        engine.infer(np.zeros((1, 3, 5, 5), np.float32))
