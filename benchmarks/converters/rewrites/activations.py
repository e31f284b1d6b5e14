"""Activations in the spellings of exporters and of runtimes that lack them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def number(graph: Graph, op: str, x: str, value: float) -> str:
    return graph.add(op, x, graph.keep(np.float32(value)))


def one_of(rng: np.random.Generator, *among: Callable[[], str]) -> str:
    return among[int(rng.integers(len(among)))]()


def scalar(graph: Graph, node: Node | None, op: str, value: float) -> str | None:
    """What ``node`` reads beside a scalar constant of that value, where it is such an operation."""
    if node is None or node.op != op or len(node.inputs) != 2:
        return None
    for place in (0, 1) if op in {"Add", "Mul"} else (1,):
        stored = graph.constant(node.inputs[place])
        if stored is not None and stored.size == 1 and np.isclose(float(stored.reshape(())), value, rtol=1e-6):
            return node.inputs[1 - place]
    return None


def _erf_gelu(graph: Graph, node: Node) -> str | None:
    """The x of 0.5·(x·(1 + erf(x/√2)))."""
    inner = graph.producer(scalar(graph, node, "Mul", 0.5) or "")
    if inner is None or inner.op != "Mul":
        return None
    for place in (0, 1):
        erf = graph.producer(scalar(graph, graph.producer(inner.inputs[place]), "Add", 1) or "")
        if erf is not None and erf.op == "Erf":
            x = scalar(graph, graph.producer(erf.inputs[0]), "Div", 2**0.5)
            return x if x == inner.inputs[1 - place] else None
    return None


def _polynomial_erf(graph: Graph, x: str) -> str:
    """Abramowitz and Stegun 7.1.26, in |x|: within 1.5e-7."""
    size = graph.add("Abs", x)
    t = graph.add("Reciprocal", number(graph, "Add", number(graph, "Mul", size, 0.3275911), 1))
    total = number(graph, "Mul", t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = graph.add("Mul", number(graph, "Add", total, factor), t)
    tail = graph.add("Exp", graph.add("Neg", graph.add("Mul", size, size)))
    return graph.add(
        "Mul", graph.add("Sign", x), graph.add("Sub", graph.keep(np.float32(1)), graph.add("Mul", total, tail))
    )


@rewrite
def gelu(graph: Graph, rng: np.random.Generator) -> bool:
    def found(node: Node) -> bool:
        return (node.op == "Gelu" and node.attributes.get("approximate", "none") == "none") or _erf_gelu(
            graph, node
        ) is not None

    node = pick(graph, rng, "Gelu Mul", found)
    if node is None:
        return False
    x = node.inputs[0] if node.op == "Gelu" else _erf_gelu(graph, node)
    assert x is not None
    styles: list[Callable[[], str]] = []

    def inner() -> str:
        part = number(graph, "Mul", x, 0.5**0.5) if rng.random() < 0.5 else number(graph, "Div", x, 2**0.5)
        return number(graph, "Add", graph.add("Erf", part), 1)

    styles.append(lambda: graph.add("Mul", number(graph, "Mul", x, 0.5), inner()))
    styles.append(lambda: graph.add("Mul", x, number(graph, "Mul", inner(), 0.5)))
    styles.append(lambda: number(graph, "Mul", graph.add("Mul", inner(), x), 0.5))

    def polynomial() -> str:
        erf = _polynomial_erf(graph, number(graph, "Mul", x, 0.5**0.5))
        return graph.add("Mul", number(graph, "Mul", x, 0.5), number(graph, "Add", erf, 1))

    styles.append(polynomial)
    if graph.opset >= 20:
        styles.append(lambda: graph.add("Gelu", x))
    return replace(graph, node, one_of(rng, *styles))


@rewrite
def gelu_tanh(graph: Graph, rng: np.random.Generator) -> bool:
    def argument(node: Node) -> str | None:
        for place in (0, 1):
            tanh = graph.producer(scalar(graph, graph.producer(node.inputs[1 - place]), "Add", 1) or "")
            x = scalar(graph, graph.producer(node.inputs[place]), "Mul", 0.5)
            if tanh is not None and tanh.op == "Tanh" and x is not None:
                return x
        return None

    node = pick(graph, rng, "Mul", argument)
    if node is None:
        return False
    x = argument(node)
    assert x is not None
    k, a = (2 / np.pi) ** 0.5, 0.044715
    square = graph.add("Mul", x, x)
    if rng.random() < 0.5:
        inner = graph.add("Mul", number(graph, "Mul", x, k), number(graph, "Add", number(graph, "Mul", square, a), 1))
    else:
        inner = number(graph, "Mul", graph.add("Add", number(graph, "Mul", graph.add("Mul", square, x), a), x), k)
    if rng.random() < 0.5:
        return replace(graph, node, graph.add("Mul", x, graph.add("Sigmoid", number(graph, "Mul", inner, 2))))
    half = number(graph, "Add", number(graph, "Mul", graph.add("Tanh", inner), 0.5), 0.5)
    return replace(graph, node, graph.add("Mul", x, half))


@rewrite
def silu(graph: Graph, rng: np.random.Generator) -> bool:
    def argument(node: Node) -> str | None:
        for place in (0, 1):
            gate = graph.producer(node.inputs[place])
            if gate is not None and gate.op == "Sigmoid" and gate.inputs[0] == node.inputs[1 - place]:
                return gate.inputs[0]
        return None

    node = pick(graph, rng, "Mul", argument)
    if node is None:
        return False
    x = argument(node)
    assert x is not None
    below = number(graph, "Add", graph.add("Exp", graph.add("Neg", x)), 1)
    return replace(
        graph,
        node,
        one_of(rng, lambda: graph.add("Div", x, below), lambda: graph.add("Mul", graph.add("Reciprocal", below), x)),
    )


@rewrite
def hardswish(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "HardSwish")
    if node is None:
        return False
    x = node.inputs[0]

    def clipped() -> str:
        return graph.add("Clip", number(graph, "Add", x, 3), graph.keep(np.float32(0)), graph.keep(np.float32(6)))

    return replace(
        graph,
        node,
        one_of(
            rng,
            lambda: graph.add("Mul", x, graph.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
            lambda: graph.add("Mul", x, number(graph, "Div", clipped(), 6)),
            lambda: number(graph, "Mul", graph.add("Mul", x, clipped()), 1 / 6),
        ),
    )


@rewrite
def hardsigmoid(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "HardSigmoid", lambda n: abs(n.attributes.get("alpha", 0.2) - 1 / 6) < 1e-6)
    if node is None:
        return False
    up = number(graph, "Add", node.inputs[0], 3)
    clipped = graph.add("Clip", up, graph.keep(np.float32(0)), graph.keep(np.float32(6)))
    return replace(graph, node, number(graph, *((["Div", clipped, 6], ["Mul", clipped, 1 / 6])[int(rng.integers(2))])))  # type: ignore[arg-type]


@rewrite
def sigmoid_by_tanh(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Sigmoid")
    if node is None:
        return False
    half = number(graph, "Mul", graph.add("Tanh", number(graph, "Mul", node.inputs[0], 0.5)), 0.5)
    return replace(graph, node, number(graph, "Add", half, 0.5))


@rewrite
def tanh_by_sigmoid(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Tanh")
    if node is None:
        return False
    twice = number(graph, "Mul", graph.add("Sigmoid", number(graph, "Mul", node.inputs[0], 2)), 2)
    return replace(graph, node, number(graph, "Sub", twice, 1))


@rewrite
def rectifier(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Relu")
    if node is None:
        return False
    x, zero = node.inputs[0], graph.keep(np.float32(0))
    return replace(
        graph,
        node,
        one_of(
            rng,
            lambda: graph.add("Max", x, zero),
            lambda: graph.add("Clip", x, zero),
            lambda: graph.add("Where", graph.add("Greater", x, zero), x, zero),
            lambda: graph.add("LeakyRelu", x, alpha=0.0),
        ),
    )


@rewrite
def leaky_rectifier(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "LeakyRelu PRelu")
    if node is None:
        return False
    x = node.inputs[0]
    slope = node.inputs[1] if node.op == "PRelu" else graph.keep(np.float32(node.attributes.get("alpha", 0.01)))
    below = graph.add("Neg", graph.add("Relu", graph.add("Neg", x)))
    styles = [
        lambda: graph.add("Add", graph.add("Relu", x), graph.add("Mul", slope, below)),
        lambda: graph.add("Where", graph.add("Less", x, graph.keep(np.float32(0))), graph.add("Mul", x, slope), x),
    ]
    if node.op == "LeakyRelu":
        styles += [lambda: graph.add("Max", x, graph.add("Mul", x, slope)), lambda: graph.add("PRelu", x, slope)]
    return replace(graph, node, one_of(rng, *styles))


@rewrite
def clip(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Clip", lambda n: len(n.inputs) == 3)
    if node is None:
        return False
    x, low, high = node.inputs
    if rng.random() < 0.5:
        return replace(graph, node, graph.add("Min", graph.add("Max", x, low), high))
    if not np.any(graph.constants[low]):
        return replace(graph, node, graph.add("Min", graph.add("Relu", x), high))
    return replace(graph, node, graph.add("Max", graph.add("Min", x, high), low))


@rewrite
def softplus(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Softplus")
    if node is None:
        return False
    return replace(graph, node, graph.add("Log", number(graph, "Add", graph.add("Exp", node.inputs[0]), 1)))


@rewrite
def elu(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Elu")
    if node is None:
        return False
    x, zero = node.inputs[0], graph.keep(np.float32(0))
    low = number(graph, "Sub", graph.add("Exp", graph.add("Min", x, zero)), 1)
    if rng.random() < 0.5:
        return replace(graph, node, graph.add("Add", graph.add("Relu", x), low))
    return replace(graph, node, graph.add("Where", graph.add("Greater", x, zero), x, low))


@rewrite
def softmax_as_arithmetic(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Softmax")
    if node is None:
        return False
    x, axis = node.inputs[0], node.attributes.get("axis", -1)
    axes = [graph.keep(np.array([axis], np.int64))] if graph.opset >= 18 else []
    most = graph.add("ReduceMax", x, *axes, keepdims=1, **({} if axes else {"axes": [axis]}))
    lifted = graph.add("Exp", graph.add("Sub", x, most))
    total = graph.add("ReduceSum", lifted, graph.keep(np.array([axis], np.int64)), keepdims=1)
    if rng.random() < 0.3:
        return replace(graph, node, graph.add("Mul", lifted, graph.add("Reciprocal", total)))
    return replace(graph, node, graph.add("Div", lifted, total))


@rewrite
def softmax_by_logarithm(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Softmax LogSoftmax")
    if node is None:
        return False
    axis = node.attributes.get("axis", -1)
    if node.op == "Softmax":
        return replace(graph, node, graph.add("Exp", graph.add("LogSoftmax", node.inputs[0], axis=axis)))
    axes = graph.keep(np.array([axis], np.int64))
    most = graph.add(
        "ReduceMax",
        node.inputs[0],
        *([axes] if graph.opset >= 18 else []),
        keepdims=1,
        **({} if graph.opset >= 18 else {"axes": [axis]}),
    )
    low = graph.add("Sub", node.inputs[0], most)
    total = graph.add("Log", graph.add("ReduceSum", graph.add("Exp", low), axes, keepdims=1))
    return replace(graph, node, graph.add("Sub", low, total))


@rewrite
def softmax_over_another_axis(graph: Graph, rng: np.random.Generator) -> bool:
    """Transposed so that the axis comes first or second, and back."""
    node = pick(graph, rng, "Softmax", lambda n: graph.rank(n.inputs[0]) >= 3 and n.attributes.get("axis", -1) == -1)
    if node is None:
        return False
    rank = graph.rank(node.inputs[0])
    perm = list(range(rank))
    perm[-1], perm[-2] = perm[-2], perm[-1]
    inner = graph.add("Softmax", graph.add("Transpose", node.inputs[0], perm=perm), axis=rank - 2)
    return replace(graph, node, graph.add("Transpose", inner, perm=perm))
