"""Faults that are drawn only where they are asked for, so that the cases of a seed stay what they were."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.faults.registry import Planted, at, pick, rarer, weighted
from benchmarks.converters.graph import Graph, Node


def _alike(graph: Graph, one: str, other: str) -> bool:
    """Whether two tensors hold the same numbers, in whatever shape."""
    arrays = graph.values[one], graph.values[other]
    return arrays[0].size == arrays[1].size and bool(np.allclose(*(np.sort(array.ravel()) for array in arrays)))


@rarer
def layers_exchanged(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Two layers hold each other's weights, as where a list of them is in another order.

    Not two of the same tensor: these would be told as well by what reads the one for the other.
    """
    rows = [node for node in graph.ordered() if weighted(graph, node)]

    def twins(node: Node) -> list[Node]:
        shape = graph.shape(node.inputs[1])
        return [
            other
            for other in rows
            if other is not node and other.op == node.op and graph.shape(other.inputs[1]) == shape
            and len(other.inputs) == len(node.inputs) and not {*other.inputs[1:]} & {*node.inputs[1:]}
            and not _alike(graph, node.inputs[0], other.inputs[0])
        ]  # fmt: skip

    node = pick(graph, rng, {each.op for each in rows}, lambda each: weighted(graph, each) and twins(each))
    if node is None:
        return None
    others = twins(node)
    other = others[int(rng.integers(len(others)))]
    node.inputs[1:], other.inputs[1:] = other.inputs[1:], node.inputs[1:]
    outputs = (*node.outputs, *other.outputs)
    return Planted((node.name, other.name), outputs, f"{node.name} and {other.name} exchanged")


@rarer
def vector_along_another_axis(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A number for each channel is taken along another axis of the same length."""

    def other(node: Node) -> tuple[int, list[int]] | None:
        for place, name in enumerate(node.inputs[:2]):
            held, shape = graph.constant(name), graph.shape(node.output)
            if held is None or held.dtype != np.float32 or sum(size > 1 for size in held.shape) != 1:
                continue
            long = next(len(shape) - held.ndim + axis for axis, size in enumerate(held.shape) if size > 1)
            axes = [axis for axis, size in enumerate(shape) if size == held.size and axis != long]
            if axes:
                return place, axes
        return None

    node = pick(graph, rng, "Add Mul Sub Div PRelu", other)
    found = other(node) if node is not None else None
    if node is None or found is None:
        return None
    place, axes = found
    shape = [1] * graph.rank(node.output)
    shape[axes[int(rng.integers(len(axes)))]] = -1
    node.inputs[place] = graph.keep(graph.constants[node.inputs[place]].reshape(shape))
    return at(node, f"constant along axes {shape}")


@rarer
def merged_in_another_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Two axes change places before they are merged: channels last where they were first, or heads within each."""

    def merged(node: Node) -> int | None:
        before, after = graph.shape(node.inputs[0]), graph.shape(node.output)
        for place, size in enumerate(after):
            pair = before[place : place + 2]
            if before[:place] == after[:place] and len(pair) == 2 and min(pair) > 1 and size == pair[0] * pair[1]:
                return place
        return None

    node = pick(graph, rng, "Reshape Flatten", lambda n: graph.computed(n.inputs[0]) and merged(n) is not None)
    place = merged(node) if node is not None else None
    if node is None or place is None:
        return None
    perm = list(range(graph.rank(node.inputs[0])))
    perm[place : place + 2] = [place + 1, place]
    node.inputs[0] = graph.add("Transpose", node.inputs[0], perm=perm)
    return Planted((node.name, graph.nodes[-1].name), tuple(node.outputs), f"{node.op} {node.name}: axes {perm}")


@rarer
def softmax_flattened(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Over all axes from one on, as operator sets before 13 mean it."""
    node = pick(graph, rng, "Softmax", lambda n: graph.rank(n.output) > 2)
    if node is None:
        return None
    shape = graph.shape(node.output)
    from_ = int(rng.integers(1, len(shape) - 1))
    rows = int(np.prod(shape[:from_]))
    output, before = node.output, {each.name for each in graph.nodes}
    flat = graph.add("Reshape", node.inputs[0], graph.keep(np.array([rows, -1], np.int64)))
    made = graph.add("Softmax", flat, axis=1)
    made = graph.add("Reshape", made, graph.keep(np.array(shape, np.int64)))
    graph.redirect(output, made)
    graph.remove(node)
    added = tuple(each.name for each in graph.nodes if each.name not in before)
    return Planted(added, (), f"Softmax {node.name} over axes {from_} to {len(shape) - 1} at once")


@rarer
def spread_unbiased(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """The mean of squares divides by one less."""

    def squares(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        return maker is not None and (maker.op == "Pow" or (maker.op == "Mul" and len({*maker.inputs}) == 1))

    node = pick(graph, rng, "ReduceMean", squares)
    if node is None:
        return None
    count = np.prod(graph.shape(node.inputs[0])) / np.prod(graph.shape(node.output))
    if count < 2:
        return None
    readers = graph.readers(node.output)
    made = graph.add("Mul", node.output, graph.keep(np.float32(count / (count - 1))))
    graph.redirect(node.output, made, only=readers)
    return Planted((graph.nodes[-1].name,), (), f"{node.name} × {count:.0f}/{count - 1:.0f}")


@rarer
def folded_twice(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A normalisation's scale is in the layer before it as well."""

    def before(node: Node) -> Node | None:
        maker = graph.producer(node.inputs[0])
        stored = all(name in graph.constants for name in node.inputs[1:])
        return maker if stored and maker is not None and maker.op == "Conv" and weighted(graph, maker) else None

    node = pick(graph, rng, "BatchNormalization", before)
    maker = before(node) if node is not None else None
    if node is None or maker is None:
        return None
    gamma, _, _, var = (graph.constants[name] for name in node.inputs[1:5])
    scale = gamma / np.sqrt(var + node.attributes.get("epsilon", 1e-5))
    weight = graph.constants[maker.inputs[1]]
    maker.inputs[1] = graph.keep(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return at(maker, f"weights × the scale of {node.name}")


@rarer
def residual_doubled(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """One operand of a sum is added again."""

    def sums(node: Node) -> bool:
        return all(graph.computed(name) and graph.shape(name) == graph.shape(node.output) for name in node.inputs)

    node = pick(graph, rng, "Add", lambda n: graph.floating(n.output) and sums(n))
    if node is None:
        return None
    readers = graph.readers(node.output)
    if node.output in graph.outputs:
        return None
    again = node.inputs[int(rng.integers(2))]
    graph.redirect(node.output, graph.add("Add", node.output, again), only=readers)
    return Planted((graph.nodes[-1].name, node.name), (), f"{again} added again behind {node.name}")


@rarer
def negated(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A difference the other way round: a sign that was lost or put in before a node."""

    def computes(node: Node) -> bool:
        return graph.computed(node.inputs[0]) and graph.floating(node.inputs[0]) and graph.floating(node.output)

    node = pick(graph, rng, "MatMul Gemm Conv Add Mul Concat Softmax", computes)
    if node is None:
        return None
    node.inputs[0] = graph.add("Neg", node.inputs[0])
    return Planted((graph.nodes[-1].name, node.name), tuple(node.outputs), f"Neg before {node.op} {node.name}")
