"""Arithmetic: other orders, other operations for the same numbers."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def _scalar_float(graph: Graph, name: str) -> bool:
    array = graph.constant(name)
    return array is not None and array.dtype == np.float32


@rewrite
def swap_operands(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Add Mul")
    if node is not None:
        node.inputs = node.inputs[::-1]
    return node is not None


@rewrite
def reassociate(graph: Graph, rng: np.random.Generator) -> bool:
    """(a + b) + c as a + (b + c), and likewise for products."""

    def nested(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        fits = maker is not None and maker.op == node.op and graph.sole_reader(maker.output) is node
        return bool(fits and graph.floating(node.output))

    node = pick(graph, rng, "Add Mul", nested)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    inner = graph.add(node.op, maker.inputs[1], node.inputs[1])
    return replace(graph, node, graph.add(node.op, maker.inputs[0], inner))


@rewrite
def subtract_as_sum(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Sub", lambda n: graph.floating(n.output))
    if node is None:
        return False
    right = graph.constant(node.inputs[1])
    negated = graph.keep(-right) if right is not None else graph.add("Neg", node.inputs[1])
    return replace(graph, node, graph.add("Add", node.inputs[0], negated))


@rewrite
def divide_as_product(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Div", lambda n: graph.floating(n.output))
    if node is None:
        return False
    right = graph.constant(node.inputs[1])
    inverse = graph.keep(1 / right.astype(np.float64)) if right is not None else graph.add("Reciprocal", node.inputs[1])
    return replace(graph, node, graph.add("Mul", node.inputs[0], inverse))


@rewrite
def product_as_division(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(
        graph, rng, "Mul", lambda n: _scalar_float(graph, n.inputs[1]) and bool(np.all(graph.constants[n.inputs[1]]))
    )
    if node is None:
        return False
    return replace(
        graph,
        node,
        graph.add("Div", node.inputs[0], graph.keep(1 / graph.constants[node.inputs[1]].astype(np.float64))),
    )


@rewrite
def power(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(
        graph, rng, "Pow", lambda n: _scalar_float(graph, n.inputs[1]) and graph.constants[n.inputs[1]].size == 1
    )
    if node is None:
        return False
    exponent, x = float(graph.constants[node.inputs[1]].reshape(())), node.inputs[0]
    if exponent not in (2.0, 3.0):
        return False
    square = graph.add("Mul", x, x)
    return replace(graph, node, square if exponent == 2 else graph.add("Mul", square, x))


@rewrite
def root(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Sqrt")
    if node is None:
        return False
    return replace(graph, node, graph.add("Pow", node.inputs[0], graph.keep(np.float32(0.5))))


@rewrite
def mean_as_sum(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "ReduceMean", lambda n: graph.floating(n.output))
    if node is None:
        return False
    x = node.inputs[0]
    axes = graph.constants[node.inputs[1]] if len(node.inputs) > 1 else np.array(node.attributes["axes"], np.int64)
    count = int(np.prod([graph.shape(x)[axis] for axis in axes]))
    total = graph.add("ReduceSum", x, graph.keep(axes), keepdims=node.attributes.get("keepdims", 1))
    return replace(graph, node, graph.add("Mul", total, graph.keep(np.float32(1 / count))))


@rewrite
def negative(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Neg", lambda n: graph.floating(n.output))
    if node is None:
        return False
    return replace(graph, node, graph.add("Mul", node.inputs[0], graph.keep(np.float32(-1))))


@rewrite
def factor_through_rectifier(graph: Graph, rng: np.random.Generator) -> bool:
    """Channels scaled before a rectifier, and scaled back in the weights behind it."""

    def between(node: Node) -> tuple[Node, Node] | None:
        maker, reader = graph.producer(node.inputs[0]), graph.sole_reader(node.output)
        if maker is None or reader is None or graph.sole_reader(maker.output) is not node:
            return None
        kinds = ({"Conv"}, {"Gemm"})
        fits = any(maker.op in kind and reader.op in kind for kind in kinds) and reader.inputs[0] == node.output
        kept = all(name in graph.constants for each in (maker, reader) for name in each.inputs[1:])
        plain = all(each.attributes.get("group", 1) == 1 for each in (maker, reader))
        return (maker, reader) if fits and kept and plain else None

    node = pick(graph, rng, "Relu LeakyRelu", between)
    found = between(node) if node is not None else None
    if node is None or found is None:
        return False
    maker, reader = found
    width = graph.shape(maker.output)[1]
    factors = rng.choice([0.5, 0.75, 1.5, 2.0, 3.0], width).astype(np.float32)
    _scale_channels(graph, maker, factors, out=True)
    _scale_channels(graph, reader, 1 / factors, out=False)
    return True


@rewrite
def permute_channels(graph: Graph, rng: np.random.Generator) -> bool:
    """Channels in another order between two weighted nodes."""

    def between(node: Node) -> tuple[Node, Node] | None:
        maker, reader = graph.producer(node.inputs[0]), graph.sole_reader(node.output)
        if maker is None or reader is None or graph.sole_reader(maker.output) is not node:
            return None
        fits = maker.op == reader.op and maker.op in {"Conv", "Gemm"} and reader.inputs[0] == node.output
        kept = all(name in graph.constants for each in (maker, reader) for name in each.inputs[1:])
        plain = all(each.attributes.get("group", 1) == 1 for each in (maker, reader))
        return (maker, reader) if fits and kept and plain else None

    node = pick(graph, rng, "Relu LeakyRelu Tanh Sigmoid Elu HardSwish", between)
    found = between(node) if node is not None else None
    if node is None or found is None:
        return False
    maker, reader = found
    order = rng.permutation(graph.shape(maker.output)[1])
    place = 1 if maker.op == "Gemm" and not maker.attributes.get("transB") else 0
    maker.inputs[1] = graph.keep(np.take(graph.constants[maker.inputs[1]], order, place))
    if len(maker.inputs) > 2:
        maker.inputs[2] = graph.keep(graph.constants[maker.inputs[2]][order])
    place = 0 if reader.op == "Gemm" and not reader.attributes.get("transB") else 1
    reader.inputs[1] = graph.keep(np.take(graph.constants[reader.inputs[1]], order, place))
    return True


def _scale_channels(graph: Graph, node: Node, factors: np.ndarray, *, out: bool) -> None:
    weight = graph.constants[node.inputs[1]]
    axis = 0 if out else 1
    if node.op == "Gemm" and not node.attributes.get("transB"):
        axis = 1 - axis
    shape = [1] * weight.ndim
    shape[axis] = -1
    node.inputs[1] = graph.keep(weight * factors.reshape(shape))
    if out and len(node.inputs) > 2:
        node.inputs[2] = graph.keep(graph.constants[node.inputs[2]] * factors)
