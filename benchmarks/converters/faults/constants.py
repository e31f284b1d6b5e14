"""Constants that steer: bounds, indices, masks, factors, sizes."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.faults.registry import Planted, at, fault, pick
from benchmarks.converters.graph import Graph, Node


@fault
def slice_shifted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def movable(node: Node) -> int:
        arrays = [graph.constant(name) for name in node.inputs[1:]]
        if len(arrays) != 3 or any(each is None or each.size != 1 for each in arrays):
            return 0
        start, stop, axis = (int(each.reshape(())) for each in arrays if each is not None)
        size = graph.shape(node.inputs[0])[axis]
        return -1 if start > 0 else 1 if stop < size else 0

    node = pick(graph, rng, "Slice", movable)
    if node is None:
        return None
    by = movable(node)
    for place in (1, 2):
        node.inputs[place] = graph.keep(np.minimum(graph.constants[node.inputs[place]], 2**31) + by)
    return at(node, f"slice moved by {by}")


@fault
def index_shifted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Gather", lambda n: n.inputs[1] in graph.constants and graph.floating(n.output))
    if node is None:
        return None
    size = graph.shape(node.inputs[0])[node.attributes.get("axis", 0)]
    node.inputs[1] = graph.keep((graph.constants[node.inputs[1]] + 1) % size)
    return at(node, "index + 1")


@fault
def embedding_shifted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Gather", lambda n: n.inputs[0] in graph.constants and graph.rank(n.inputs[0]) == 2)
    if node is None:
        return None
    node.inputs[0] = graph.keep(np.roll(graph.constants[node.inputs[0]], 1, 0))
    return at(node, "rows rolled by one")


def _mask(graph: Graph, node: Node) -> int:
    for place, name in enumerate(node.inputs):
        array = graph.constant(name)
        if (
            array is not None
            and array.ndim >= 2
            and (array.dtype == np.bool_ or (array.dtype == np.float32 and array.min() <= -1e4))
        ):
            return place + 1
    return 0


@fault
def mask_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Add", lambda n: _mask(graph, n))
    if node is None:
        return None
    tensor = node.output
    graph.redirect(tensor, node.inputs[2 - _mask(graph, node)])
    graph.remove(node)
    return Planted((), (tensor,), f"mask {node.name} taken out")


@fault
def mask_shifted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Add Where", lambda n: _mask(graph, n))
    if node is None:
        return None
    place = _mask(graph, node) - 1
    array = graph.constants[node.inputs[place]]
    if rng.random() < 0.5:
        rolled = np.roll(array, 1, -1)
        rolled[..., 0] = array[..., 0]
    else:
        rolled = np.swapaxes(array, -1, -2)
    node.inputs[place] = graph.keep(rolled)
    return at(node, "mask shifted or transposed")


@fault
def padding_mask_inverted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(
        graph, rng, "Sub", lambda n: n.inputs[0] in graph.constants and (graph.producer(n.inputs[1]) or n).op == "Cast"
    )
    if node is None:
        return None
    node.op, node.inputs = "Identity", [node.inputs[1]]
    return at(node, "1 − mask → mask")


@fault
def factor_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A scalar in the arithmetic."""

    def scalar(node: Node) -> int:
        if not graph.floating(node.output):
            return 0
        for place, name in enumerate(node.inputs):
            array = graph.constant(name)
            if (
                array is not None
                and array.size == 1
                and array.dtype == np.float32
                and abs(float(array.reshape(()))) > 1e-3
            ):
                return place + 1
        return 0

    node = pick(graph, rng, "Mul Div Add Sub Pow", scalar)
    if node is None:
        return None
    place, factor = scalar(node) - 1, float(rng.choice([0.5, 0.9, 1.1, 2.0]))
    node.inputs[place] = graph.keep(graph.constants[node.inputs[place]] * np.float32(factor))
    return at(node, f"constant × {factor}")


@fault
def factor_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def scaled(node: Node) -> bool:
        array = graph.constant(node.inputs[1])
        return array is not None and array.size == 1 and graph.floating(node.output)

    node = pick(graph, rng, "Mul Div", scaled)
    if node is None:
        return None
    tensor = node.output
    graph.redirect(tensor, node.inputs[0])
    graph.remove(node)
    return Planted((), (tensor,), f"{node.op} {node.name} taken out")


@fault
def vector_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A constant vector in the arithmetic: rolled, noised or zero."""

    def vector(node: Node) -> int:
        for place, name in enumerate(node.inputs):
            array = graph.constant(name)
            if (
                array is not None
                and array.size > 2
                and array.dtype == np.float32
                and np.isfinite(array).all()
                and array.min() > -1e4
            ):
                return place + 1
        return 0

    node = pick(graph, rng, "Mul Add Sub Div", vector)
    if node is None:
        return None
    place = vector(node) - 1
    array = graph.constants[node.inputs[place]]
    made = [np.roll(array, 1), array + rng.standard_normal(array.shape) * 0.1 * array.std(), array * np.float32(0.7)]
    node.inputs[place] = graph.keep(made[int(rng.integers(3))])
    return at(node, "constant vector changed")


@fault
def heads_in_another_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """[heads, size] read as [size, heads]: the transposition behind a reshape moves the other axis."""

    def splits(node: Node) -> bool:
        maker, reader = graph.producer(node.inputs[0]), graph.sole_reader(node.output)
        shape = graph.shape(node.output)
        moved = reader is not None and reader.op == "Transpose" and reader.attributes["perm"] == [0, 2, 1, 3]
        return bool(maker is not None and len(shape) == 4 and moved and shape[2] != shape[3])

    node = pick(graph, rng, "Reshape", splits)
    if node is None:
        return None
    batch, steps, heads, size = graph.shape(node.output)
    reader = graph.sole_reader(node.output)
    assert reader is not None
    node.inputs[1] = graph.keep(np.array([batch, steps, size, heads], np.int64))
    reader.attributes["perm"] = [0, 3, 1, 2]
    return Planted((node.name, reader.name), (reader.output,), "heads and size exchanged")


@fault
def head_count(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A reshape whose sizes are exchanged where the rest accepts it."""
    node = pick(
        graph,
        rng,
        "Reshape",
        lambda n: (
            n.inputs[1] in graph.constants and len(graph.constants[n.inputs[1]]) >= 2 and graph.floating(n.output)
        ),
    )
    if node is None:
        return None
    shape, made = list(graph.shape(node.output)), graph.fresh("transpose")
    perm = list(range(len(shape)))
    perm[-1], perm[-2] = perm[-2], perm[-1]
    flipped = [shape[axis] for axis in perm]
    inner = graph.add("Reshape", node.inputs[0], graph.keep(np.array(flipped, np.int64)))
    first = graph.nodes[-1].name
    graph.add("Transpose", inner, into=made, perm=perm)
    second = graph.nodes[-1].name
    tensor = node.output
    graph.redirect(tensor, made)
    graph.remove(node)
    return Planted((first, second), (tensor,), "reshape by another order")
