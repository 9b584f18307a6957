from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from spoton_edge.engine import load_engine
from spoton_edge.errors import EngineError, ModelError


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


def test_an_engine_answers_batches_of_any_size_and_reuses_its_buffers(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto", threads=1)
    rng = np.random.default_rng(0)
    addresses = set()
    for size in (1, 3, 1, 3, 3):
        batch = rng.normal(size=(size, 3, 4, 4)).astype(np.float32)
        (doubled,) = engine.infer(batch)
        np.testing.assert_array_equal(doubled, 2 * batch)
        addresses.add(doubled.ctypes.data)
    assert len(addresses) == 2
    assert engine.backend.startswith("onnxruntime")


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
        load_engine(doubling_network(tmp_path / "half.onnx", element=TensorProto.FLOAT16), backend="auto")


def test_a_batch_the_network_cannot_take_is_an_engine_error(tmp_path: Path) -> None:
    engine = load_engine(doubling_network(tmp_path / "double.onnx"), backend="auto", threads=1)
    with pytest.raises(EngineError, match=r"\(1, 3, 5, 5\)"):
        engine.infer(np.zeros((1, 3, 5, 5), np.float32))
