"""Rewrites an FP32 ONNX graph in FP16, op by op, so that every runtime computes the same with the same rounding.

TensorRT 11 takes the precision from the graph only; TensorRT 10, TensorRT-RTX and ONNX Runtime honour it too. The input
becomes FP16, outputs stay FP32. Kept in FP32 are the operators that lose people in FP16:

- sums and what divides by them (means, variances, norms, softmax): squares overflow at 65504, epsilons vanish;
- exponentials, logarithms and powers;
- sampling coordinates (GridSample): FP16 has 11 bits, a tenth of a pixel on a wide map;
- what follows the last convolution or matrix product, where boxes are put together from grids, strides and offsets.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spoton_edge.graph_surgery import SurgeryError, unused_name

LARGEST = float(np.finfo(np.float16).max)
SENSITIVE = {
    "CumSum", "Exp", "GridSample", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Log",
    "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "NonMaxSuppression", "Pow", "Range", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax",
    "Sqrt",
}  # fmt: skip
# Elementwise operators that carry a sum's precision on, up to the division that ends a normalisation.
CARRIES = {"Add", "Mul", "Sub", "Sqrt", "Pow", "Reciprocal", "Div"}
ENDS = {"Div", "Reciprocal"}
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"}
LAYOUT = {"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Concat", "Split", "Identity"}
# Inputs whose type is FP32 whatever the rest is.
ALWAYS_FULL = {
    "Resize": {1, 2},
    "Upsample": {1},
    "Range": {0, 1, 2},
    "QuantizeLinear": {1},
    "NonMaxSuppression": {3, 4},
}


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the graph in FP16. Raises SurgeryError where the graph has branches or types that cannot be told."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    _constants_become_initializers(graph)
    types = _types(result)
    full = _full_nodes(graph, types)
    casts = _Casts(graph, types)
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(graph.node):
        wants_full = index in full
        for slot, name in enumerate(node.input):
            if types.get(name) == TensorProto.FLOAT:
                keep = wants_full or slot in ALWAYS_FULL.get(node.op_type, ())
                node.input[slot] = casts.as_type(name, TensorProto.FLOAT if keep else TensorProto.FLOAT16, nodes)
        if not wants_full:
            _retype_attributes(node)
        nodes.append(node)
        for name in node.output:
            if types.get(name) == TensorProto.FLOAT:
                casts.stored[name] = TensorProto.FLOAT if wants_full else TensorProto.FLOAT16
    _finish_outputs(graph, casts, nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    casts.swap_weights()
    del graph.value_info[:]
    onnx.checker.check_model(result, full_check=True)
    return result


class _Casts:
    """How each float value is stored, and the casts and copies made of it so far."""

    def __init__(self, graph: onnx.GraphProto, types: dict[str, int]) -> None:
        self._graph = graph
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._made: dict[tuple[str, int], str] = {}
        self._half: list[onnx.TensorProto] = []
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(self._weights)
        self.stored: dict[str, int] = {}
        for value in graph.input:
            if value.name not in self._weights and types[value.name] == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
                self.stored[value.name] = TensorProto.FLOAT16

    def as_type(self, name: str, wanted: int, nodes: list[onnx.NodeProto]) -> str:
        """The name under which a value can be had in a type; a cast is appended to `nodes` where there is none yet."""
        if name in self._weights:
            return self._weight(name, wanted)
        if self.stored.get(name, TensorProto.FLOAT) == wanted:
            return name
        key = (name, wanted)
        if key not in self._made:
            self._made[key] = self._unused(f"{name}_{'half' if wanted == TensorProto.FLOAT16 else 'full'}")
            nodes.append(helper.make_node("Cast", [name], [self._made[key]], self._made[key], to=wanted))
        return self._made[key]

    def _weight(self, name: str, wanted: int) -> str:
        if wanted == TensorProto.FLOAT:
            return name
        key = (name, wanted)
        if key not in self._made:
            values = numpy_helper.to_array(self._weights[name]).astype(np.float16)
            self._made[key] = self._unused(f"{name}_half")
            self._half.append(numpy_helper.from_array(values, self._made[key]))
        return self._made[key]

    def _unused(self, wish: str) -> str:
        while wish in self._taken:
            wish += "_"
        self._taken.add(wish)
        return wish

    def swap_weights(self) -> None:
        """Replace the weights by those that are used, in the types in which they are."""
        used = {name for node in self._graph.node for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        names = {tensor.name for tensor in kept}
        inputs = [value for value in self._graph.input if value.name not in self._weights or value.name in names]
        del self._graph.initializer[:], self._graph.input[:]
        self._graph.initializer.extend([*kept, *self._half])
        self._graph.input.extend(inputs)


def _constants_become_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    for node in graph.node:
        if any(
            attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise SurgeryError(f"{node.name or node.op_type}: a graph with branches or loops cannot be made FP16")
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Constant" and values:
            values[0].name = node.output[0]
            graph.initializer.append(values[0])
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value. Declared intermediate types may be stale after surgery and are inferred anew."""
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    for node in graph.node:
        for name in node.output:
            if name and not types.get(name):
                raise SurgeryError(f"{node.name or name}: the type of what {node.op_type} gives cannot be told")
    return types


def _full_nodes(graph: onnx.GraphProto, types: dict[str, int]) -> set[int]:
    """The nodes, by index, that stay in FP32."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    too_large = {
        name
        for name, tensor in weights.items()
        if tensor.data_type == TensorProto.FLOAT and np.abs(numpy_helper.to_array(tensor)).max(initial=0) > LARGEST
    }
    full, precise, softmax = set[int](), set[str](), set[str]()
    for index, node in enumerate(graph.node):
        carried = node.op_type in CARRIES and not precise.isdisjoint(node.input)
        expectation = node.op_type in PRODUCTS and node.input[0] in softmax and node.input[1] in weights
        if node.op_type in SENSITIVE or carried or expectation or not too_large.isdisjoint(node.input):
            full.add(index)
            if node.op_type not in ENDS and (carried or node.op_type.startswith("Reduce") or node.op_type == "Sqrt"):
                precise.update(node.output)
        # A product of probabilities with fixed numbers is an expectation: the distances of a box (Li et al. 2020).
        if node.op_type == "Softmax" or (node.op_type in LAYOUT and not softmax.isdisjoint(node.input)):
            softmax.update(node.output)
    return full | set(_tail(graph, types))


def _tail(graph: onnx.GraphProto, types: dict[str, int]) -> Iterable[int]:
    """The nodes from which no product is reached any more, but behind one."""
    leads_to_product: set[str] = set()
    for index, node in reversed(list(enumerate(graph.node))):
        if node.op_type in PRODUCTS or not leads_to_product.isdisjoint(node.output):
            leads_to_product.update(node.input)
        elif any(types.get(name) == TensorProto.FLOAT for name in node.output):
            yield index


def _retype_attributes(node: onnx.NodeProto) -> None:
    """Attributes that name FP32 follow the node to FP16."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))


def _finish_outputs(graph: onnx.GraphProto, casts: _Casts, nodes: list[onnx.NodeProto]) -> None:
    """Give every FP16 output back in FP32 under its own name."""
    for value in graph.output:
        if casts.stored.get(value.name) != TensorProto.FLOAT16:
            continue
        inner = unused_name(graph, f"{value.name}_inner")
        for node in nodes:
            for names in (node.input, node.output):
                for slot, name in enumerate(names):
                    if name == value.name:
                        names[slot] = inner
        nodes.append(helper.make_node("Cast", [inner], [value.name], f"{value.name}_cast", to=TensorProto.FLOAT))
