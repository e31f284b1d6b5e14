"""Convolutions and pooling as other operations."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def _pointwise(graph: Graph, node: Node) -> bool:
    weight = graph.constant(node.inputs[1])
    settings = node.attributes
    plain = (
        not any(settings.get("pads", ())) and set(settings.get("strides", [1])) == {1} and settings.get("group", 1) == 1
    )
    return bool(plain and weight is not None and weight.ndim == 4 and weight.shape[2:] == (1, 1))


@rewrite
def pointwise_as_product(graph: Graph, rng: np.random.Generator) -> bool:
    """A 1 × 1 convolution as a matrix product over channels last."""
    node = pick(graph, rng, "Conv", lambda n: _pointwise(graph, n))
    if node is None:
        return False
    last = graph.add("Transpose", node.inputs[0], perm=[0, 2, 3, 1])
    y = graph.add("MatMul", last, graph.keep(graph.constants[node.inputs[1]][:, :, 0, 0].T))
    if len(node.inputs) > 2:
        y = graph.add("Add", y, node.inputs[2])
    return replace(graph, node, graph.add("Transpose", y, perm=[0, 3, 1, 2]))


@rewrite
def bias_behind(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Conv ConvTranspose", lambda n: len(n.inputs) > 2 and n.inputs[2] in graph.constants)
    if node is None:
        return False
    y = graph.add(node.op, *node.inputs[:2], **dict(node.attributes))
    tail = [1] * (graph.rank(node.output) - 2)
    bias = graph.keep(graph.constants[node.inputs[2]].reshape(1, -1, *tail))
    return replace(graph, node, graph.add("Add", y, bias))


@rewrite
def groups_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A grouped convolution as convolutions of slices, joined."""
    node = pick(graph, rng, "Conv", lambda n: 1 < n.attributes.get("group", 1) <= 24 and n.inputs[1] in graph.constants)
    if node is None:
        return False
    groups = node.attributes["group"]
    pieces = groups if groups <= 4 else 2 if groups % 2 == 0 else 0
    if not pieces:
        return False
    weight, width = graph.constants[node.inputs[1]], graph.shape(node.inputs[0])[1]
    sizes = graph.keep(np.array([width // pieces] * pieces, np.int64))
    parts = graph.add_all("Split", node.inputs[0], sizes, count=pieces, axis=1)
    weights = np.split(weight, pieces)
    biases = np.split(graph.constants[node.inputs[2]], pieces) if len(node.inputs) > 2 else [None] * pieces
    made = []
    for part, kernel, bias in zip(parts, weights, biases, strict=True):
        inputs = [part, graph.keep(kernel)] + ([] if bias is None else [graph.keep(bias)])
        made.append(graph.add("Conv", *inputs, **{**node.attributes, "group": groups // pieces}))
    return replace(graph, node, graph.add("Concat", *made, axis=1))


@rewrite
def channels_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution as two, for the first output channels and for the others."""
    node = pick(
        graph,
        rng,
        "Conv",
        lambda n: n.attributes.get("group", 1) == 1 and len(graph.constants.get(n.inputs[1], ())) > 3,
    )
    if node is None:
        return False
    weight = graph.constants[node.inputs[1]]
    at = int(rng.integers(1, len(weight)))
    made = []
    for part in (slice(None, at), slice(at, None)):
        more = [graph.keep(graph.constants[node.inputs[2]][part])] if len(node.inputs) > 2 else []
        made.append(graph.add("Conv", node.inputs[0], graph.keep(weight[part]), *more, **dict(node.attributes)))
    return replace(graph, node, graph.add("Concat", *made, axis=1))


@rewrite
def global_pool(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "GlobalAveragePool")
    if node is None:
        return False
    x, size = node.inputs[0], list(graph.shape(node.inputs[0])[2:])
    style = int(rng.integers(3))
    if style == 0:
        return replace(graph, node, graph.add("AveragePool", x, kernel_shape=size, strides=[1] * len(size)))
    axes = graph.keep(np.array([2, 3], np.int64))
    if style == 1:
        if graph.opset >= 18:
            return replace(graph, node, graph.add("ReduceMean", x, axes, keepdims=1))
        return replace(graph, node, graph.add("ReduceMean", x, axes=[2, 3], keepdims=1))
    total = graph.add("ReduceSum", x, axes, keepdims=1)
    return replace(graph, node, graph.add("Div", total, graph.keep(np.float32(np.prod(size)))))


@rewrite
def average_as_convolution(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(
        graph,
        rng,
        "AveragePool",
        lambda n: (
            (n.attributes.get("count_include_pad") or not any(n.attributes.get("pads", ())))
            and not n.attributes.get("ceil_mode")
        ),
    )
    if node is None:
        return False
    kernel, width = node.attributes["kernel_shape"], graph.shape(node.inputs[0])[1]
    weight = graph.keep(np.full((width, 1, *kernel), 1 / np.prod(kernel)))
    kept = {name: node.attributes[name] for name in ("kernel_shape", "strides", "pads") if name in node.attributes}
    return replace(graph, node, graph.add("Conv", node.inputs[0], weight, group=width, **kept))


@rewrite
def shuffle_by_moves(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "DepthToSpace", lambda n: n.attributes.get("mode") == "CRD")
    if node is None:
        return False
    b, (n, c, h, w) = node.attributes["blocksize"], graph.shape(node.inputs[0])
    c //= b * b
    y = graph.add("Reshape", node.inputs[0], graph.keep(np.array([n, c, b, b, h, w], np.int64)))
    y = graph.add("Transpose", y, perm=[0, 1, 4, 2, 5, 3])
    return replace(graph, node, graph.add("Reshape", y, graph.keep(np.array([n, c, h * b, w * b], np.int64))))


@rewrite
def nearest_by_expanding(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Resize", lambda n: n.attributes.get("mode") == "nearest")
    if node is None:
        return False
    n, c, h, w = graph.shape(node.inputs[0])
    if graph.shape(node.output) != (n, c, 2 * h, 2 * w):
        return False
    y = graph.add("Reshape", node.inputs[0], graph.keep(np.array([n, c, h, 1, w, 1], np.int64)))
    y = graph.add("Expand", y, graph.keep(np.array([n, c, h, 2, w, 2], np.int64)))
    return replace(graph, node, graph.add("Reshape", y, graph.keep(np.array([n, c, 2 * h, 2 * w], np.int64))))


@rewrite
def one_dimension_in_two(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Conv", lambda n: graph.rank(n.inputs[0]) == 3 and n.inputs[1] in graph.constants)
    if node is None:
        return False
    axes = graph.keep(np.array([2], np.int64))
    wide = {
        name: [1, *value] for name, value in node.attributes.items() if name in {"kernel_shape", "strides", "dilations"}
    }
    left, right = node.attributes.get("pads", [0, 0])
    weight = graph.keep(graph.constants[node.inputs[1]][:, :, None])
    y = graph.add("Unsqueeze", node.inputs[0], axes)
    y = graph.add(
        "Conv", y, weight, *node.inputs[2:], pads=[0, left, 0, right], group=node.attributes.get("group", 1), **wide
    )
    return replace(graph, node, graph.add("Squeeze", y, axes))
