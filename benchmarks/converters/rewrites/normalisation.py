"""Normalisations folded, unfolded, spread over arithmetic and gathered again."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Array, Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def affine(graph: Graph, node: Node) -> tuple[Array, Array]:
    """Scale and shift of a batch normalisation, in float64."""
    gamma, beta, mean, var = (graph.constants[name].astype(np.float64) for name in node.inputs[1:5])
    scale = gamma / np.sqrt(var + node.attributes.get("epsilon", 1e-5))
    return scale, beta - mean * scale


def _stored(graph: Graph, node: Node) -> bool:
    return all(name in graph.constants for name in node.inputs[1:])


@rewrite
def fold_batch_norm(graph: Graph, rng: np.random.Generator) -> bool:
    def foldable(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        fits = maker is not None and maker.op in {"Conv", "Gemm"} and _stored(graph, node)
        return bool(fits and maker and _stored(graph, maker) and graph.sole_reader(maker.output) is node)

    node = pick(graph, rng, "BatchNormalization", foldable)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    scale, shift = affine(graph, node)
    weight = graph.constants[maker.inputs[1]].astype(np.float64)
    if maker.op == "Gemm" and not maker.attributes.get("transB"):
        weight = weight * scale
    else:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    bias = graph.constants[maker.inputs[2]] * scale if len(maker.inputs) > 2 else 0
    output = graph.add(
        maker.op, maker.inputs[0], graph.keep(weight), graph.keep(bias + shift), **dict(maker.attributes)
    )
    return replace(graph, node, output)


@rewrite
def unfold_batch_norm(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution becomes one of other weights with a normalisation behind it."""
    node = pick(graph, rng, "Conv", lambda n: _stored(graph, n))
    if node is None:
        return False
    weight = graph.constants[node.inputs[1]].astype(np.float64)
    width = len(weight)
    gamma, var, mean = rng.uniform(0.5, 1.5, width), rng.uniform(0.4, 1.6, width), rng.normal(0, 0.3, width)
    scale = gamma / np.sqrt(var + 1e-5)
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(width)
    inner = graph.add(
        "Conv",
        node.inputs[0],
        graph.keep(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))),
        **dict(node.attributes),
    )
    names = [graph.keep(each) for each in (gamma, bias + mean * scale, mean, var)]
    return replace(graph, node, graph.add("BatchNormalization", inner, *names, epsilon=1e-5))


@rewrite
def batch_norm_as_arithmetic(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "BatchNormalization", lambda n: _stored(graph, n))
    if node is None:
        return False
    tail = [1] * (graph.rank(node.inputs[0]) - 2)
    x = node.inputs[0]
    if rng.random() < 0.5:
        scale, shift = (graph.keep(each.reshape(-1, *tail)) for each in affine(graph, node))
        return replace(graph, node, graph.add("Add", graph.add("Mul", x, scale), shift))
    gamma, beta, mean, var = (graph.constants[name].reshape(-1, *tail) for name in node.inputs[1:5])
    spread = graph.keep(np.sqrt(var.astype(np.float64) + node.attributes.get("epsilon", 1e-5)))
    unit = graph.add("Div", graph.add("Sub", x, graph.keep(mean)), spread)
    return replace(graph, node, graph.add("Add", graph.add("Mul", unit, graph.keep(gamma)), graph.keep(beta)))


def mean(graph: Graph, x: str, axis: int) -> str:
    if graph.opset >= 18:
        return graph.add("ReduceMean", x, graph.keep(np.array([axis], np.int64), "axes"), keepdims=1)
    return graph.add("ReduceMean", x, axes=[axis], keepdims=1)


@rewrite
def layer_norm_as_arithmetic(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(
        graph, rng, "LayerNormalization", lambda n: n.attributes.get("axis", -1) in {-1, graph.rank(n.inputs[0]) - 1}
    )
    if node is None:
        return False
    x, gamma, beta = node.inputs
    middle = mean(graph, x, -1)
    centred = graph.add("Sub", x, middle)
    square = (
        graph.add("Mul", centred, centred)
        if rng.random() < 0.5
        else graph.add("Pow", centred, graph.keep(np.float32(2)))
    )
    epsilon = graph.keep(np.float32(node.attributes.get("epsilon", 1e-5)))
    spread = graph.add("Sqrt", graph.add("Add", mean(graph, square, -1), epsilon))
    style = int(rng.integers(4))
    if style == 0:
        scaled = graph.add("Mul", graph.add("Div", centred, spread), gamma)
    elif style == 1:
        scaled = graph.add("Mul", graph.add("Mul", centred, graph.add("Reciprocal", spread)), gamma)
    elif style == 2:
        scaled = graph.add("Mul", centred, graph.add("Mul", graph.add("Reciprocal", spread), gamma))
    else:  # as TensorFlow's batch normalisation is lowered: x·k + (β − μ·k)
        factor = graph.add("Mul", graph.add("Reciprocal", spread), gamma)
        shift = graph.add("Sub", beta, graph.add("Mul", middle, factor))
        return replace(graph, node, graph.add("Add", graph.add("Mul", x, factor), shift))
    return replace(graph, node, graph.add("Add", scaled, beta))


@rewrite
def gather_layer_norm(graph: Graph, rng: np.random.Generator) -> bool:
    """(x − mean)/√(var + ε)·γ + β as one node."""
    if graph.opset < 17:
        return False

    def parts(end: Node) -> tuple[Node, ...] | None:
        chain: list[Node] = []
        name: str = end.inputs[0]
        for op in ("Mul", "Div", "Sqrt", "Add", "ReduceMean", "Pow", "Sub"):
            node = graph.producer(name)
            if node is None or node.op != op:
                return None
            chain.append(node)
            name = node.inputs[1] if op == "Div" else node.inputs[0]
        ok = chain[1].inputs[0] == chain[6].output and end.inputs[1] in graph.constants
        ok = ok and chain[0].inputs[1] in graph.constants and chain[3].inputs[1] in graph.constants
        ok = ok and graph.shape(end.inputs[1]) == graph.shape(chain[0].inputs[1]) == graph.shape(end.output)[-1:]
        return tuple(chain) if ok else None

    end = pick(graph, rng, "Add", parts)
    chain = parts(end) if end is not None else None
    if end is None or chain is None:
        return False
    epsilon = float(graph.constants[chain[3].inputs[1]])
    made = graph.add(
        "LayerNormalization", chain[6].inputs[0], chain[0].inputs[1], end.inputs[1], axis=-1, epsilon=epsilon
    )
    return replace(graph, end, made)


@rewrite
def instance_norm_as_arithmetic(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "InstanceNormalization", lambda n: graph.rank(n.inputs[0]) in {3, 4})
    if node is None:
        return False
    x, shape = node.inputs[0], graph.shape(node.inputs[0])
    axes = list(range(2, len(shape)))

    def average(name: str) -> str:
        if graph.opset >= 18:
            return graph.add("ReduceMean", name, graph.keep(np.array(axes, np.int64)), keepdims=1)
        return graph.add("ReduceMean", name, axes=axes, keepdims=1)

    centred = graph.add("Sub", x, average(x))
    spread = graph.add(
        "Add", average(graph.add("Mul", centred, centred)), graph.keep(np.float32(node.attributes.get("epsilon", 1e-5)))
    )
    unit = graph.add("Div", centred, graph.add("Sqrt", spread))
    gamma, beta = (graph.keep(graph.constants[name].reshape(-1, *[1] * len(axes))) for name in node.inputs[1:3])
    return replace(graph, node, graph.add("Add", graph.add("Mul", unit, gamma), beta))


@rewrite
def instance_norm_as_group_norm(graph: Graph, rng: np.random.Generator) -> bool:
    """InstanceNormalization over rows of [N·C, 1, …], γ and β behind it."""
    node = pick(graph, rng, "InstanceNormalization", lambda n: graph.rank(n.inputs[0]) == 4)
    if node is None:
        return False
    x = node.inputs[0]
    batch, width, *rest = graph.shape(x)
    flat = graph.add("Reshape", x, graph.keep(np.array([1, batch * width, *rest], np.int64)))
    ones, zeros = graph.keep(np.ones(batch * width)), graph.keep(np.zeros(batch * width))
    unit = graph.add("InstanceNormalization", flat, ones, zeros, epsilon=node.attributes.get("epsilon", 1e-5))
    unit = graph.add("Reshape", unit, graph.keep(np.array([batch, width, *rest], np.int64)))
    gamma, beta = (graph.keep(graph.constants[name].reshape(-1, 1, 1)) for name in node.inputs[1:3])
    return replace(graph, node, graph.add("Add", graph.add("Mul", unit, gamma), beta))
