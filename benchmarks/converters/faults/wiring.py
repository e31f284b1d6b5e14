"""Edges that lead elsewhere, nodes lost or doubled."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.faults.registry import Planted, at, fault, pick
from benchmarks.converters.graph import Graph, Node


def _computed_pair(graph: Graph, node: Node) -> bool:
    return len(node.inputs) == 2 and all(graph.computed(name) and graph.floating(name) for name in node.inputs)


def _cut(graph: Graph, node: Node, instead: str, detail: str) -> Planted:
    tensor = node.output
    graph.redirect(tensor, instead)
    graph.remove(node)
    return Planted((), (tensor,), f"{node.op} {node.name}: {detail}")


@fault
def residual_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(
        graph, rng, "Add", lambda n: _computed_pair(graph, n) and graph.shape(n.inputs[0]) == graph.shape(n.inputs[1])
    )
    if node is None:
        return None
    return _cut(graph, node, node.inputs[int(rng.integers(2))], "one operand lost")


@fault
def gate_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Mul", lambda n: _computed_pair(graph, n))
    if node is None:
        return None
    full = [name for name in node.inputs if graph.shape(name) == graph.shape(node.output)]
    return _cut(graph, node, full[0], "one operand lost") if full else None


ACTIVATIONS = "Relu LeakyRelu PRelu Elu Tanh Sigmoid Clip HardSwish Softplus Gelu Softmax LogSoftmax Exp"


@fault
def activation_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, ACTIVATIONS, lambda n: graph.computed(n.inputs[0]))
    return None if node is None else _cut(graph, node, node.inputs[0], "lost")


@fault
def norm_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "BatchNormalization LayerNormalization InstanceNormalization")
    return None if node is None else _cut(graph, node, node.inputs[0], "lost")


@fault
def tail_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """The last operation before an output."""
    name = graph.outputs[int(rng.integers(len(graph.outputs)))]
    node = graph.producer(name)
    if node is None or node.op not in {*ACTIVATIONS.split(), "Mul", "Add"} or not graph.computed(node.inputs[0]):
        return None
    if graph.shape(node.inputs[0]) != graph.shape(name):
        return None
    return _cut(graph, node, node.inputs[0], "last operation lost")


@fault
def tail_added(graph: Graph, rng: np.random.Generator) -> Planted | None:
    name = graph.outputs[int(rng.integers(len(graph.outputs)))]
    node = graph.producer(name)
    if node is None or len(node.outputs) > 1:
        return None
    spare = graph.fresh(name)
    node.outputs = [spare]
    for reader in graph.nodes:
        reader.inputs = [spare if each == name else each for each in reader.inputs]
    op = str(rng.choice(["Sigmoid", "Softmax", "Tanh", "Relu"]))
    graph.add(op, spare, into=name)
    made = graph.nodes[-1]
    return Planted((made.name,), (), f"{op} behind output {name}")


@fault
def applied_twice(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Either may be blamed: without any one of two that are the same the graph is the same."""
    node = pick(
        graph,
        rng,
        f"{ACTIVATIONS} BatchNormalization LayerNormalization InstanceNormalization",
        lambda n: graph.computed(n.inputs[0]),
    )
    if node is None:
        return None
    output, spare = node.output, graph.fresh(node.output)
    node.outputs[0] = spare
    graph.add(node.op, spare, *node.inputs[1:], into=output, **dict(node.attributes))
    return Planted((graph.nodes[-1].name, node.name), (), f"{node.op} {node.name} a second time")


@fault
def operands_swapped(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Of a difference, a quotient, or a product of square matrices."""
    node = pick(
        graph,
        rng,
        "Sub Div MatMul",
        lambda n: _computed_pair(graph, n) and graph.shape(n.inputs[0]) == graph.shape(n.inputs[1]),
    )
    if node is None:
        return None
    node.inputs = node.inputs[::-1]
    return at(node, "operands swapped")


@fault
def join_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Concat", lambda n: len(set(n.inputs)) > 1 and graph.floating(n.output))
    if node is None:
        return None
    node.inputs = node.inputs[::-1]
    return at(node, "operands in reverse")


@fault
def split_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Split", lambda n: len({graph.shape(name) for name in n.outputs}) == 1)
    if node is None:
        return None
    tensors = tuple(node.outputs)
    node.outputs = [*node.outputs[1:], node.outputs[0]]
    return Planted((node.name,), tensors, f"Split {node.name}: outputs rotated")


@fault
def stale_operand(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A node reads another tensor of the same shape, made before."""
    rows = graph.ordered()
    made: dict[str, int] = dict.fromkeys(graph.feeds, -1)
    for place, node in enumerate(rows):
        made.update(dict.fromkeys(node.outputs, place))

    def others(node: Node) -> list[tuple[int, str]]:
        found = []
        for place, name in enumerate(node.inputs):
            if not graph.computed(name) or not graph.floating(name):
                continue
            for other, when in made.items():
                fits = other != name and other and other not in node.inputs and when < rows.index(node)
                if (
                    fits
                    and graph.floating(other)
                    and graph.shape(other) == graph.shape(name)
                    and not _alike(graph, other, name)
                ):
                    found.append((place, other))
        return found

    node = pick(graph, rng, {n.op for n in rows} - {"Shape"}, others)
    if node is None:
        return None
    found = others(node)
    place, other = found[int(rng.integers(len(found)))]
    former, node.inputs[place] = node.inputs[place], other
    return at(node, f"reads {other} for {former}")


def _alike(graph: Graph, one: str, other: str) -> bool:
    return bool(
        np.allclose(np.sort(graph.values[one].ravel()), np.sort(graph.values[other].ravel()), rtol=1e-3, atol=1e-4)
    )
