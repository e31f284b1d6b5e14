"""Nodes that a converter or a deployment put in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.converters.faults.registry import Planted, fault
from benchmarks.converters.graph import Graph, Node

Insert = Callable[[str], str]


def _between(
    graph: Graph, rng: np.random.Generator, insert: Insert, kind: str, also: Callable[[str], Any] = bool
) -> Planted | None:
    """Put nodes behind one tensor, for all of its readers; any of them may be blamed."""
    names = [
        n
        for node in graph.ordered()
        for n in node.outputs
        if n and graph.floating(n) and also(n) and graph.values[n].size > 3
    ]
    names = [name for name in names if graph.readers(name) and name not in graph.outputs]
    if not names:
        return None
    name = names[int(rng.integers(len(names)))]
    readers, before = graph.readers(name), {node.name for node in graph.nodes}
    made = insert(name)
    graph.redirect(name, made, only=readers)
    added = [node for node in graph.nodes if node.name not in before]
    same = _same_beside(graph, added[0]) if len(added) == 1 else []
    return Planted((*(node.name for node in added), *same), (), f"{kind} behind {name}")


def _same_beside(graph: Graph, node: Node) -> list[str]:
    """Nodes right before and behind one that do the same: without any one of them the graph is the same."""
    before, behind = graph.producer(node.inputs[0]), graph.readers(node.outputs[0])
    beside = [before] if before is not None else []
    beside += behind if len(behind) == 1 else []
    return [one.name for one in beside if _does(graph, one) == _does(graph, node)]


def _does(graph: Graph, node: Node) -> tuple[Any, ...]:
    """What a node does with what it reads: its operation, settings and constants, wherever these stand."""
    constants = [graph.constant(name) for name in node.inputs]
    return node.op, node.attributes, sorted(array.ravel().tolist() for array in constants if array is not None)


@fault
def clip_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def insert(name: str) -> str:
        low, high = np.quantile(graph.values[name], [0.05, 0.9])
        return graph.add("Clip", name, graph.keep(np.float32(low)), graph.keep(np.float32(high)))

    return _between(graph, rng, insert, "Clip")


@fault
def rounding_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def insert(name: str) -> str:
        step = np.float32(2.0 ** np.round(np.log2(graph.values[name].std() / 4 + 1e-9)))
        return graph.add("Mul", graph.add("Round", graph.add("Div", name, graph.keep(step))), graph.keep(step))

    return _between(graph, rng, insert, "rounding")


@fault
def quantised_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def insert(name: str) -> str:
        scale = graph.keep(np.float32(np.abs(graph.values[name]).max() / 40 + 1e-9))
        zero = graph.keep(np.int8(0))
        return graph.add("DequantizeLinear", graph.add("QuantizeLinear", name, scale, zero), scale, zero)

    return _between(graph, rng, insert, "QuantizeLinear")


@fault
def cast_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Through bfloat16 or an integer."""
    to = int(rng.choice([16, 16, 7]))

    return _between(graph, rng, lambda name: graph.add("Cast", graph.add("Cast", name, to=to), to=1), "Cast")


@fault
def noise_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def insert(name: str) -> str:
        value = graph.values[name]
        noise = rng.standard_normal(value.shape) * value.std() * float(rng.choice([0.03, 0.2]))
        return graph.add("Add", name, graph.keep(noise))

    return _between(graph, rng, insert, "noise")


@fault
def nan_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A logarithm of a few negative numbers, added times nothing."""

    def insert(name: str) -> str:
        return graph.add("Add", name, graph.add("Mul", graph.add("Log", name), graph.keep(np.float32(0))))

    return _between(graph, rng, insert, "Log", lambda name: graph.values[name].min() < 0)


@fault
def factor_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    factor = graph.keep(np.float32(rng.choice([0.5, 0.9, 1.1, 255.0])))
    return _between(graph, rng, lambda name: graph.add("Mul", name, factor), "Mul")


@fault
def offset_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    return _between(
        graph, rng, lambda name: graph.add("Add", name, graph.keep(np.float32(graph.values[name].std() * 0.3))), "Add"
    )


@fault
def transposition_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def twins(name: str) -> tuple[int, int] | None:
        shape = graph.shape(name)
        return next(((i, j) for i in range(len(shape)) for j in range(i) if shape[i] == shape[j] > 1), None)

    def insert(name: str) -> str:
        i, j = twins(name) or (0, 0)
        perm = list(range(graph.rank(name)))
        perm[i], perm[j] = perm[j], perm[i]
        return graph.add("Transpose", name, perm=perm)

    return _between(graph, rng, insert, "Transpose", twins)


@fault
def roll_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def insert(name: str) -> str:
        axis = int(np.argmax(graph.shape(name)))
        size = graph.shape(name)[axis]
        return graph.add("Gather", name, graph.keep(np.roll(np.arange(size), 1)), axis=axis)

    return _between(graph, rng, insert, "roll", lambda name: graph.rank(name) and max(graph.shape(name)) > 1)


@fault
def activation_inserted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    op = str(rng.choice(["Relu", "Abs", "Tanh", "Sigmoid", "Softmax"]))
    return _between(graph, rng, lambda name: graph.add(op, name), op)
