"""Mends published ONNX graphs: frees the batch and picture axes, and spells out an operator that runtimes get wrong.

Every operation works on the `onnx.ModelProto` in place, changes nothing where there is nothing to change, and keeps
the weights and the order of the arithmetic. It raises `SurgeryError` rather than leave a graph that computes something
else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spoton_edge.errors import ModelError
from spoton_edge.manifests import Dimension, InputSpec, OutputSpec

# GroupNorm's epsilon in PyTorch, from which such graphs are exported; MeanVarianceNormalization has none of its own.
VARIANCE_EPSILON = 1e-5
AXES_ARE_AN_INPUT = 18  # the operator set from which ReduceMean takes its axes as an input


class SurgeryError(ModelError):
    """A graph that this operation cannot mend."""


def load_graph(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file; raises ModelError where it is none, or a damaged one."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        first_line = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise ModelError(f"{path} is not a whole ONNX model ({first_line}): put the file there again") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return model


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX file, the same graph giving the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def operate(model: onnx.ModelProto, steps: Iterable[str], takes: InputSpec, *gives: OutputSpec) -> None:
    """Carry out the manifest's surgery, and check the graph against the manifest's contract.

    Raises SurgeryError where a step cannot be done, ModelError where the outcome is not what the manifest says.
    """
    for step in steps:
        OPERATIONS[step](model)
    onnx.checker.check_model(model, full_check=True)
    check_contract(model, takes, *gives)


def make_batch_dynamic(model: onnx.ModelProto) -> None:
    """Free the first axis of every input and output.

    An exporter writes the batch of its example into Reshape constants, `[1, 85, -1]`. Where an activation is reshaped
    so, the leading 1 becomes 0, "as in the input"; weights, whose leading 1 is a real one, keep theirs.
    """
    constants = constant_tensors(model.graph)
    activations = depending_on_inputs(model.graph, constants)
    for node in list(model.graph.node):
        if node.op_type != "Reshape" or node.input[0] not in activations or node.input[1] not in constants:
            continue
        shape = constants[node.input[1]]
        if shape.size > 1 and shape[0] == 1:
            if any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute):
                raise SurgeryError(f"{node.name or node.output[0]}: a Reshape with allowzero cannot follow the batch")
            replace_shape(model.graph, node, np.concatenate(([0], shape[1:])))
    for value in [*model.graph.input, *model.graph.output]:
        free_axis(value, 0, "batch")
    forget_shapes(model.graph)


def make_size_dynamic(model: onnx.ModelProto) -> None:
    """Free height and width of the first input, and the middle axis of outputs (batch, anchors, numbers).

    Only sound where nothing in the graph depends on the example's size, which is checked: Reshape constants must leave
    the picture's extent open (-1), and Resize must be given scales.
    """
    constants = constant_tensors(model.graph)
    activations = depending_on_inputs(model.graph, constants)
    for node in model.graph.node:
        where = node.name or node.output[0]
        if node.op_type == "Reshape" and node.input[0] in activations and node.input[1] in constants:
            if -1 not in constants[node.input[1]]:
                raise SurgeryError(f"{where}: a Reshape fixes the size of the picture")
        elif node.op_type in ("Resize", "Upsample") and len(node.input) > 3 and node.input[3] in constants:
            raise SurgeryError(f"{where}: a Resize fixes the size of the picture")
    free_axis(model.graph.input[0], 2, "height")
    free_axis(model.graph.input[0], 3, "width")
    for value in model.graph.output:
        if len(value.type.tensor_type.shape.dim) != 3:
            raise SurgeryError(f"{value.name}: an output (batch, anchors, numbers) was expected")
        free_axis(value, 1, "anchors")
    forget_shapes(model.graph)


def spell_out_mean_variance(model: onnx.ModelProto) -> None:
    """Replace MeanVarianceNormalization by (x - mean) / sqrt(mean((x - mean)^2) + 1e-5) over the same axes.

    Runtimes compute its variance as E[x^2] - E[x]^2, which rounds below zero on flat activations: the root is NaN.
    """
    graph = model.graph
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if not any(node.op_type == "MeanVarianceNormalization" for node in graph.node):
        return
    epsilon = unused_name(graph, "variance_epsilon")
    graph.initializer.append(numpy_helper.from_array(np.full(1, VARIANCE_EPSILON, np.float32), epsilon))
    nodes = []
    for node in graph.node:
        if node.op_type != "MeanVarianceNormalization":
            nodes.append(node)
            continue
        axes = next((list(entry.ints) for entry in node.attribute if entry.name == "axes"), [0, 2, 3])
        name = node.output[0]
        mean, centred, square, variance, padded, deviation = (
            unused_name(graph, f"{name}_{part}")
            for part in ("mean", "centred", "square", "variance", "padded", "deviation")
        )
        nodes += [
            reduce_mean(graph, opset, node.input[0], mean, axes),
            helper.make_node("Sub", [node.input[0], mean], [centred], centred),
            helper.make_node("Mul", [centred, centred], [square], square),
            reduce_mean(graph, opset, square, variance, axes),
            helper.make_node("Add", [variance, epsilon], [padded], padded),
            helper.make_node("Sqrt", [padded], [deviation], deviation),
            helper.make_node("Div", [centred, deviation], [name], name),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def reduce_mean(graph: onnx.GraphProto, opset: int, value: str, name: str, axes: list[int]) -> onnx.NodeProto:
    """A ReduceMean that keeps its axes, in the spelling of the graph's operator set."""
    if opset < AXES_ARE_AN_INPUT:
        return helper.make_node("ReduceMean", [value], [name], name, axes=axes, keepdims=1)
    graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), f"{name}_axes"))
    return helper.make_node("ReduceMean", [value, f"{name}_axes"], [name], name, keepdims=1)


OPERATIONS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "explicit_mean_variance": spell_out_mean_variance,
    "dynamic_batch": make_batch_dynamic,
    "dynamic_size": make_size_dynamic,
}


def check_contract(model: onnx.ModelProto, takes: InputSpec, *gives: OutputSpec, fixed_size: bool = False) -> None:
    """Raise ModelError unless the graph's input and outputs have the manifest's names, shapes and input type.

    With `fixed_size` any axis but the first, the batch, may be fixed where the manifest's is free.
    """
    inputs = true_inputs(model.graph)
    for what, values, specs in (("input", inputs, (takes,)), ("output", list(model.graph.output), gives)):
        found = {value.name: shape_of(value) for value in values}
        if set(found) != {spec.name for spec in specs} or not all(
            fits(found[spec.name], spec.shape, fixed_size) for spec in specs
        ):
            there = ", ".join(f"{name} {list(dims)}" for name, dims in found.items()) or "nothing"
            wanted = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in specs)
            raise ModelError(f"its {what} is {there}, not {wanted}")
    dtype = helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type).name
    if dtype != takes.dtype:
        raise ModelError(f"its input is {dtype}, not {takes.dtype}")


def fits(shape: tuple[Dimension, ...], expected: tuple[Dimension, ...], fixed_size: bool) -> bool:
    """Whether each fixed axis is as long as expected, and each free one free."""
    return len(shape) == len(expected) and all(
        found == wanted if isinstance(wanted, int) else isinstance(found, str) or (fixed_size and axis > 0)
        for axis, (found, wanted) in enumerate(zip(shape, expected, strict=True))
    )


def tensors_sha256(model: onnx.ModelProto) -> str:
    """A hash of every weight: name, type, shape and bytes, in the order of the names.

    Knows a network again whose file has been written anew, by other tools or with other axes.
    """
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        values = numpy_helper.to_array(tensor)
        digest.update(f"{tensor.name}\0{values.dtype.str}\0{list(values.shape)}\0".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def constant_tensors(graph: onnx.GraphProto) -> dict[str, NDArray[np.generic]]:
    """Every value known before the first picture: initializers and Constant nodes."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(attribute.t)
    return found


def depending_on_inputs(graph: onnx.GraphProto, constants: dict[str, NDArray[np.generic]]) -> set[str]:
    """The names of all values that carry pictures or what was computed from them; the nodes are in order of use."""
    found = {value.name for value in graph.input} - set(constants)
    for node in graph.node:
        # The shape of an activation is not an activation: its first number is a length, not a batch.
        if node.op_type != "Shape" and not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def replace_shape(graph: onnx.GraphProto, node: onnx.NodeProto, shape: NDArray[np.generic]) -> None:
    """Give one Reshape its own shape constant; the old one may serve other nodes too."""
    name = unused_name(graph, f"{node.output[0]}_shape")
    graph.initializer.append(numpy_helper.from_array(shape.astype(np.int64), name))
    node.input[1] = name


def unused_name(graph: onnx.GraphProto, wish: str) -> str:
    """`wish`, with underscores added until nothing in the graph is called so."""
    taken = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    taken.update(name for node in graph.node for name in (*node.input, *node.output))
    while wish in taken:
        wish += "_"
    return wish


def true_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are fed; old graphs list their weights among the inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def free_axis(value: onnx.ValueInfoProto, axis: int, name: str) -> None:
    """Make an axis symbolic; one that is free already keeps its name."""
    dimension = value.type.tensor_type.shape.dim[axis]
    if not dimension.dim_param:
        dimension.dim_param = name


def forget_shapes(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes about intermediate shapes, which hold for its example only."""
    del graph.value_info[:]


def shape_of(value: onnx.ValueInfoProto) -> tuple[Dimension, ...]:
    """The declared shape; a free axis is its name, "?" without one."""
    return tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in value.type.tensor_type.shape.dim
    )
