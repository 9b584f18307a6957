"""FP16 graphs: the same people and the same looks as in FP32, as far as a CPU can tell.

ONNX Runtime on a CPU rounds weights and activations to FP16 and computes in between in FP32, so these tests hold the
rounding, not FP16 accumulation.
"""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from spoton_edge.engine_check import compare_detector, compare_embeddings
from spoton_edge.graph_surgery import SurgeryError, load_graph
from spoton_edge.half_precision import to_half
from tests.onnx_graphs import Graph, rt_detr

DETECTOR, REID = (
    "yolox_nano_dyn_bhw.onnx",
    ("osnet_x0_25_msmt17_dynbatch.onnx", "person-reid-retail-0287_dynbatch.onnx"),
)


def run(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    dtype = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    found: list[np.ndarray] = session.run(None, {"images": images.astype(dtype)})
    return found


def nodes_in(model: onnx.ModelProto, dtype: int) -> set[str]:
    """The kinds of nodes whose first output has a type."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    return {node.op_type for node in graph.node if types.get(node.output[0]) == dtype}


def test_products_become_half_and_sensitive_operators_stay_full() -> None:
    half = to_half(rt_detr(queries=20, layers=1))
    assert {"Conv", "MatMul"} <= nodes_in(half, TensorProto.FLOAT16)
    sensitive = {"Softmax", "GridSample", "ReduceMean", "Log", "Sqrt"}
    assert sensitive <= nodes_in(half, TensorProto.FLOAT)
    assert not sensitive & nodes_in(half, TensorProto.FLOAT16)
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert {output.type.tensor_type.elem_type for output in half.graph.output} == {TensorProto.FLOAT}


def test_a_normalisation_survives_values_whose_squares_overflow_half_precision() -> None:
    g = Graph()
    value = g.norm(g.op("Mul", "images", g.constant(500.0)), 8)
    outputs = [("out", g.op("MatMul", value, g.constant(np.eye(8))), [3, 4, 8])]
    model = g.model((8, 4), outputs)
    images = np.random.default_rng(0).normal(0, 4, (2, 3, 4, 8)).astype(np.float32)
    (expected,), (found,) = run(model, images), run(to_half(model), images)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_weights_beyond_half_precision_keep_their_node_full() -> None:
    g = Graph()
    scaled = g.op("Mul", "images", g.constant(1e6))
    model = g.model((4, 4), [("out", g.op("Conv", scaled, g.constant(np.full((1, 3, 1, 1), 1e-6))), [1, 4, 4])])
    images = np.full((1, 3, 4, 4), 0.5, np.float32)
    (found,) = run(to_half(model), images)
    assert np.isfinite(found).any()


def test_a_value_that_is_an_output_and_used_again_keeps_its_name() -> None:
    g = Graph()
    first = g.op("Conv", "images", g.random(3, 3, 1, 1))
    g.nodes[-1].output[0] = "first"
    second = g.op("Conv", "first", g.random(3, 3, 1, 1))
    model = g.model((4, 4), [("second", second, [3, 4, 4])])
    model.graph.output.append(helper.make_tensor_value_info("first", TensorProto.FLOAT, ["batch", 3, 4, 4]))
    assert first != "first"
    images = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    for full, half in zip(run(model, images), run(to_half(model), images), strict=True):
        np.testing.assert_allclose(half, full, atol=2e-2)


def test_a_graph_with_branches_is_refused() -> None:
    g = Graph()
    body = helper.make_graph([], "empty", [], [])
    g.nodes.append(helper.make_node("If", ["images"], ["out"], then_branch=body, else_branch=body))
    graph = helper.make_graph(g.nodes, "branching", [], [])
    with pytest.raises(SurgeryError, match="branches or loops"):
        to_half(helper.make_model(graph))


def test_an_rt_detr_in_half_precision_finds_the_same_queries() -> None:
    model = rt_detr(queries=60)
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 256, 320)).astype(np.float32)
    full, half = run(model, images), run(to_half(model), images)
    # Queries are in the order of their scores, of which near ties swap; a swapped one has a twin elsewhere.
    boxes = np.abs(full[1][:, :, None] - half[1][:, None]).max(axis=3).min(axis=2)
    assert np.mean(boxes < 2e-3) > 0.95


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[np.ndarray]:
    """Thirteen pictures of the clip, well apart."""
    wanted = set(range(0, 795, 66))
    with av.open(str(shared_data / "pets09_s2l1_view1" / "vtest.avi")) as video:
        return [
            frame.to_ndarray(format="bgr24") for number, frame in enumerate(video.decode(video=0)) if number in wanted
        ]


def halved(path: Path, folder: Path) -> Path:
    target = folder / path.name
    onnx.save(to_half(load_graph(path)), str(target))
    return target


def test_the_detector_finds_the_same_people_in_half_precision(
    pictures: list[np.ndarray], shared_models: Path, tmp_path: Path
) -> None:
    full = shared_models / DETECTOR
    report = compare_detector(full, halved(full, tmp_path), pictures, (416, 416))
    assert report.candidates > 500
    assert report.candidates_equal >= 0.99
    assert report.matched >= 0.95
    assert len(report.unmatched) <= 0.05 * report.people + 1
    assert report.good


@pytest.mark.parametrize("name", REID)
def test_people_look_the_same_in_half_precision(
    name: str, pictures: list[np.ndarray], shared_models: Path, tmp_path: Path
) -> None:
    full = shared_models / name
    crops = [cv2.resize(picture[100:400, x : x + 120], (128, 256)) for picture in pictures for x in (100, 400)]
    report = compare_embeddings(full, halved(full, tmp_path), crops)
    assert report.crops == 2 * len(pictures)
    assert report.least_cosine > 0.999
    assert report.good


def test_a_network_that_half_precision_spoils_is_refused_with_the_figures(
    pictures: list[np.ndarray], shared_models: Path, tmp_path: Path
) -> None:
    full = shared_models / DETECTOR
    spoilt = to_half(load_graph(full))
    for tensor in spoilt.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array((np.round(values * 64) / 64).astype(np.float16), tensor.name))
    path = tmp_path / "spoilt.onnx"
    onnx.save(spoilt, str(path))
    report = compare_detector(full, path, pictures[:3], (416, 416))
    assert not report.good
    assert "candidates" in report.summary
