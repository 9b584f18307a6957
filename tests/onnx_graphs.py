"""Networks that tests make up, operator by operator, with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and weights as they are added; every method gives the name of what it computes."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """A node; the name of its first output. Further ones are called `<name>_1`, ..."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name, **attributes))
        return name

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """A weight with these values."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        """A weight of normal numbers."""
        return self.constant(self._rng.normal(0, scale, shape))

    def ints(self, *values: int) -> str:
        """A weight of int64, such as a shape."""
        return self.constant(values, np.int64)

    def conv(self, value: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
        """Convolution and SiLU."""
        before, after = channels
        weight = self.random(after, before, kernel, kernel, scale=(2 / (before * kernel**2)) ** 0.5)
        bias = self.random(after, scale=0.1)
        pads = [kernel // 2] * 4
        out = self.op("Conv", value, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)
        return self.op("Mul", out, self.op("Sigmoid", out))

    def linear(self, value: str, before: int, after: int, scale: float = 1.0) -> str:
        """Matrix product and bias over the last axis."""
        product = self.op("MatMul", value, self.random(before, after, scale=scale / before**0.5))
        return self.op("Add", product, self.random(after, scale=0.02))

    def reshape(self, value: str, *shape: int) -> str:
        """A view; 0 keeps an axis, -1 takes the rest."""
        return self.op("Reshape", value, self.ints(*shape))

    def norm(self, value: str, width: int) -> str:
        """Layer normalisation, spelled out as exporters before opset 17 do."""
        centred = self.op("Sub", value, self.op("ReduceMean", value, axes=[-1]))
        square = self.op("Pow", centred, self.constant(2.0))
        deviation = self.op("Sqrt", self.op("Add", self.op("ReduceMean", square, axes=[-1]), self.constant(1e-5)))
        scaled = self.op("Mul", self.op("Div", centred, deviation), self.constant(np.ones(width)))
        return self.op("Add", scaled, self.constant(np.zeros(width)))

    def model(
        self, size: tuple[int, int], outputs: Sequence[tuple[str, str, Sequence[int | str]]], opset: int = 17
    ) -> onnx.ModelProto:
        """The network from `images` (batch, 3, height, width); outputs: name, value, shape. size: width, height."""
        width, height = size
        declared = []
        for name, value, shape in outputs:
            self.nodes.append(helper.make_node("Identity", [value], [name]))
            declared.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]))
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, height, width])
        graph = helper.make_graph(self.nodes, "made_up", [images], declared, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def rt_detr(
    size: tuple[int, int] = (320, 256), *, queries: int = 100, layers: int = 3, classes: int = 80, seed: int = 0
) -> onnx.ModelProto:
    """The decoder of RT-DETR (Zhao et al. 2024) behind three plain convolutional levels, random weights.

    Whole: the choice of the best `queries` places, self-attention, multi-scale deformable attention (Zhu et al. 2021:
    sampling offsets, bilinear sampling of three levels, weights over levels and points), feed-forward, boxes refined
    from layer to layer in inverse-sigmoid space. Outputs `pred_logits` (batch, queries, classes) and `pred_boxes`
    (batch, queries, 4) as shares of the picture. size: width, height, multiples of 32.
    """
    d, heads, points = 64, 4, 4
    g = Graph(seed)
    grey = g.op("Div", "images", g.constant(255.0))
    stem = g.conv(g.conv(grey, (3, 16), 3, 2), (16, 32), 3, 2)
    levels = [g.conv(stem, (32, d), 3, 2)]
    for _ in range(2):
        levels.append(g.conv(levels[-1], (d, d), 3, 2))
    shapes = [(size[1] // stride, size[0] // stride) for stride in (8, 16, 32)]
    memory = g.op(
        "Concat", *(g.op("Transpose", g.reshape(level, 0, d, -1), perm=[0, 2, 1]) for level in levels), axis=1
    )
    memory = g.norm(g.linear(memory, d, d), d)

    anchors = g.constant(inverse_sigmoid(grid_boxes(shapes))[None])
    scores = g.linear(memory, d, classes)
    boxes = g.op("Add", box_head(g, memory, d), anchors)
    best = g.op("ReduceMax", scores, axes=[-1], keepdims=0)
    g.op("TopK", best, g.ints(queries), outputs=2, axis=1)
    places = g.op("Unsqueeze", f"{g.nodes[-1].name}_1", g.ints(-1))
    target = g.op("GatherElements", memory, expand(g, places, memory, d), axis=1)
    reference = g.op("GatherElements", boxes, expand(g, places, boxes, 4), axis=1)

    for _ in range(layers):
        shares = g.op("Sigmoid", reference)
        where = g.linear(g.op("Relu", g.linear(shares, 4, 2 * d)), 2 * d, d)
        seen = g.op("Add", target, where)
        target = g.norm(g.op("Add", target, self_attention(g, seen, target, d, heads)), d)
        seen = g.op("Add", target, where)
        looked = deformable_attention(g, seen, shares, memory, shapes, d, heads, points)
        target = g.norm(g.op("Add", target, looked), d)
        hidden = g.op("Relu", g.linear(target, d, 4 * d))
        target = g.norm(g.op("Add", target, g.linear(hidden, 4 * d, d)), d)
        held = g.op("Clip", shares, g.constant(1e-5), g.constant(1 - 1e-5))
        odds = g.op("Log", g.op("Div", held, g.op("Sub", g.constant(1.0), held)))
        reference = g.op("Add", box_head(g, target, d), odds)
    outputs = [
        ("pred_logits", g.linear(target, d, classes), [queries, classes]),
        ("pred_boxes", g.op("Sigmoid", reference), [queries, 4]),
    ]
    return g.model(size, outputs, opset=16)


def expand(g: Graph, index: str, like: str, width: int) -> str:
    """Indices (batch, n, 1) repeated to (batch, n, width), for GatherElements."""
    return g.op("Expand", index, g.ints(1, 1, width))


def box_head(g: Graph, value: str, d: int) -> str:
    """Three layers to a small change of a box."""
    hidden = g.op("Relu", g.linear(value, d, d))
    return g.linear(g.op("Relu", g.linear(hidden, d, d)), d, 4, scale=0.1)


def self_attention(g: Graph, seen: str, values: str, d: int, heads: int) -> str:
    """Every query looks at all."""

    def split(value: str) -> str:
        return g.op("Transpose", g.reshape(g.linear(value, d, d), 0, -1, heads, d // heads), perm=[0, 2, 1, 3])

    q, k, v = split(seen), split(seen), split(values)
    product = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    weights = g.op("Softmax", g.op("Mul", product, g.constant((d // heads) ** -0.5)), axis=-1)
    joined = g.op("Transpose", g.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return g.linear(g.reshape(joined, 0, -1, d), d, d)


def deformable_attention(
    g: Graph, seen: str, shares: str, memory: str, shapes: list[tuple[int, int]], d: int, heads: int, points: int
) -> str:
    """Every query looks at a few places around its box, on every level."""
    width, count = d // heads, len(shapes)
    value = g.linear(memory, d, d)
    offsets = g.reshape(g.linear(seen, d, heads * count * points * 2), 0, -1, heads, count * points, 2)
    flat = g.reshape(g.linear(seen, d, heads * count * points), 0, -1, heads, count * points)
    weights = g.op("Softmax", flat, axis=-1)
    box = g.reshape(shares, 0, -1, 1, 1, 4)
    centre = g.op("Slice", box, g.ints(0), g.ints(2), g.ints(-1))
    extent = g.op("Slice", box, g.ints(2), g.ints(4), g.ints(-1))
    reach = g.op("Mul", g.op("Mul", offsets, extent), g.constant(0.5 / points))
    grid = g.op("Sub", g.op("Mul", g.op("Add", centre, reach), g.constant(2.0)), g.constant(1.0))
    sampled, start = [], 0
    for level, (height, length) in enumerate(shapes):
        part = g.op("Slice", value, g.ints(start), g.ints(start + height * length), g.ints(1))
        picture = g.reshape(g.op("Transpose", part, perm=[0, 2, 1]), -1, width, height, length)
        here = g.op("Slice", grid, g.ints(level * points), g.ints((level + 1) * points), g.ints(3))
        here = g.op("Transpose", here, perm=[0, 2, 1, 3, 4])
        # (batch * heads, queries, points, 2): the batch is the rest, so that it stays free
        here = g.op("Reshape", here, g.ints(-1, g_queries(g, shares), points, 2))
        sampled.append(g.op("GridSample", picture, here, mode="bilinear", padding_mode="zeros", align_corners=0))
        start += height * length
    stacked = g.op("Concat", *sampled, axis=3)  # (batch * heads, width, queries, levels * points)
    by_head = g.op("Transpose", weights, perm=[0, 2, 1, 3])
    by_head = g.op("Reshape", by_head, g.ints(-1, 1, g_queries(g, shares), count * points))
    summed = g.op("ReduceSum", g.op("Mul", stacked, by_head), g.ints(-1), keepdims=0)
    joined = g.op("Transpose", g.op("Reshape", summed, g.ints(-1, d, g_queries(g, shares))), perm=[0, 2, 1])
    return g.linear(joined, d, d)


def g_queries(g: Graph, shares: str) -> int:
    """How many queries there are: what TopK was asked for."""
    top = next(node for node in g.nodes if node.op_type == "TopK")
    return int(numpy_helper.to_array(next(w for w in g.weights if w.name == top.input[1]))[0])


def grid_boxes(shapes: list[tuple[int, int]]) -> NDArray[np.float64]:
    """A box (cx, cy, w, h), as shares, at every cell of every level."""
    rows = []
    for level, (height, width) in enumerate(shapes):
        y, x = np.mgrid[:height, :width]
        size = np.full(height * width, 0.05 * 2.0**level)
        rows.append(np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height, size, size], axis=1))
    return np.concatenate(rows)


def inverse_sigmoid(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the sigmoid is `share`."""
    result: NDArray[np.float64] = np.log(share / (1 - share))
    return result
