"""Slices, joins, constants and copies in other words."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def _bounds(graph: Graph, node: Node) -> tuple[int, int, int] | None:
    """(start, stop, axis) of a slice of one axis without steps."""
    arrays = [graph.constant(name) for name in node.inputs[1:]]
    if len(arrays) != 3 or any(each is None or each.size != 1 for each in arrays):
        return None
    start, stop, axis = (int(each.reshape(())) for each in arrays if each is not None)
    size = graph.shape(node.inputs[0])[axis]
    return (start, min(stop, size), axis) if 0 <= start < stop else None


@rewrite
def slice_as_gather(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Slice", lambda n: _bounds(graph, n))
    found = _bounds(graph, node) if node is not None else None
    if node is None or found is None:
        return False
    start, stop, axis = found
    return replace(graph, node, graph.add("Gather", node.inputs[0], graph.keep(np.arange(start, stop)), axis=axis))


@rewrite
def slices_as_split(graph: Graph, rng: np.random.Generator) -> bool:
    """Slices that cover an axis between them as one split."""
    node = pick(graph, rng, "Slice", lambda n: _bounds(graph, n))
    if node is None:
        return False
    rows = [n for n in graph.readers(node.inputs[0]) if n.op == "Slice" and _bounds(graph, n)]
    rows.sort(key=lambda n: (_bounds(graph, n) or (0, 0, 0))[0])
    bounds = [each for each in (_bounds(graph, n) for n in rows) if each]
    axis = bounds[0][2]
    size = graph.shape(node.inputs[0])[axis]
    edges = [0, *(stop for _, stop, _ in bounds)]
    if (
        len(rows) < 2
        or any(each[2] != axis for each in bounds)
        or [each[0] for each in bounds] != edges[:-1]
        or edges[-1] != size
    ):
        return False
    sizes = graph.keep(np.array([stop - start for start, stop, _ in bounds], np.int64))
    parts = graph.add_all("Split", node.inputs[0], sizes, count=len(rows), axis=axis)
    for each, part in zip(rows, parts, strict=True):
        replace(graph, each, part)
    return True


@rewrite
def split_as_slices(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Split", lambda n: len(n.inputs) > 1)
    if node is None:
        return False
    axis, start = node.attributes.get("axis", 0), 0
    axis += graph.rank(node.inputs[0]) if axis < 0 else 0
    for output in list(node.outputs):
        stop = start + graph.shape(output)[axis]
        bounds = [graph.keep(np.array([each], np.int64)) for each in (start, stop, axis)]
        graph.redirect(output, graph.add("Slice", node.inputs[0], *bounds))
        start = stop
    graph.remove(node)
    return True


@rewrite
def gather_as_slice(graph: Graph, rng: np.random.Generator) -> bool:
    def single(node: Node) -> bool:
        index = graph.constant(node.inputs[1])
        return index is not None and index.shape == () and node.inputs[0] not in graph.constants

    node = pick(graph, rng, "Gather", single)
    if node is None:
        return False
    at, axis = int(graph.constants[node.inputs[1]]), node.attributes.get("axis", 0)
    bounds = [graph.keep(np.array([each], np.int64)) for each in (at, at + 1, axis)]
    part = graph.add("Slice", node.inputs[0], *bounds)
    return replace(graph, node, graph.add("Squeeze", part, graph.keep(np.array([axis], np.int64))))


@rewrite
def nested_join(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Concat", lambda n: len(n.inputs) > 2)
    if node is None:
        return False
    axis = node.attributes["axis"]
    first = graph.add("Concat", *node.inputs[:2], axis=axis)
    return replace(graph, node, graph.add("Concat", first, *node.inputs[2:], axis=axis))


@rewrite
def join_as_sum_of_pads(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(
        graph,
        rng,
        "Concat",
        lambda n: len(n.inputs) == 2 and graph.floating(n.output) and not any(i in graph.constants for i in n.inputs),
    )
    if node is None:
        return False
    rank = graph.rank(node.output)
    axis = node.attributes["axis"] % rank
    sizes = [graph.shape(name)[axis] for name in node.inputs]
    made = []
    for place, name in enumerate(node.inputs):
        pads = np.zeros(2 * rank, np.int64)
        pads[axis + rank if place == 0 else axis] = sizes[1 - place]
        made.append(graph.add("Pad", name, graph.keep(pads), graph.keep(np.float32(0)), mode="constant"))
    return replace(graph, node, graph.add("Add", *made))


@rewrite
def constant_spread(graph: Graph, rng: np.random.Generator) -> bool:
    """A constant operand written at its full size, or with leading ones."""

    def small(node: Node) -> int | None:
        for place, name in enumerate(node.inputs):
            array = graph.constant(name)
            if array is not None and array.dtype == np.float32 and array.shape != graph.shape(node.output):
                return place + 1
        return None

    node = pick(graph, rng, "Add Mul Sub Div", small)
    if node is None:
        return False
    place = (small(node) or 1) - 1
    array, shape = graph.constants[node.inputs[place]], graph.shape(node.output)
    if rng.random() < 0.5:
        array = np.broadcast_to(array, shape)
    else:
        array = array.reshape([1] * (len(shape) - array.ndim) + list(array.shape))
    node.inputs[place] = graph.keep(array)
    return True


@rewrite
def constant_computed(graph: Graph, rng: np.random.Generator) -> bool:
    """A weight that is transposed, shifted or scaled at run time, as before any folding."""
    names = [name for name, array in graph.constants.items() if array.dtype == np.float32 and array.ndim >= 2]
    if not names:
        return False
    name = names[int(rng.integers(len(names)))]
    array = graph.constants[name]
    style = int(rng.integers(3))
    if style == 0:
        perm = [int(axis) for axis in rng.permutation(array.ndim)]
        made = graph.add(
            "Transpose", graph.keep(np.transpose(array, perm)), perm=[int(axis) for axis in np.argsort(perm)]
        )
    elif style == 1:
        made = graph.add("Mul", graph.keep(array / np.float32(2)), graph.keep(np.float32(2)))
    else:
        made = graph.add("Reshape", graph.keep(array.reshape(-1)), graph.keep(np.array(array.shape, np.int64)))
    for node in graph.nodes:
        if made not in node.outputs:
            node.inputs = [made if each == name else each for each in node.inputs]
    return True


@rewrite
def idle_node(graph: Graph, rng: np.random.Generator) -> bool:
    """Something that does nothing, on one edge."""
    node = pick(
        graph,
        rng,
        {n.op for n in graph.nodes},
        lambda n: n.inputs and graph.computed(n.inputs[0]) and graph.floating(n.inputs[0]),
    )
    if node is None:
        return False
    x = node.inputs[0]
    style = int(rng.integers(5))
    if style == 0:
        node.inputs[0] = graph.add("Identity", x)
    elif style == 1:
        node.inputs[0] = graph.add("Dropout", x)
    elif style == 2:
        node.inputs[0] = graph.add("Cast", x, to=1)
    elif style == 3:
        node.inputs[0] = graph.add("Reshape", x, graph.add("Shape", x))
    else:
        node.inputs[0] = graph.add("Mul", x, graph.keep(np.float32(1)))
    return True


@rewrite
def double_island(graph: Graph, rng: np.random.Generator) -> bool:
    """One activation in double precision, as numpy's scalars cause in exports."""
    node = pick(graph, rng, "Add Mul Sqrt Exp Tanh Sigmoid", lambda n: graph.floating(n.output))
    if node is None:
        return False
    wide = [graph.add("Cast", name, to=11) for name in node.inputs]
    return replace(graph, node, graph.add("Cast", graph.add(node.op, *wide), to=1))


@rewrite
def expand_operand(graph: Graph, rng: np.random.Generator) -> bool:
    """Broadcasting written out."""

    def broadcast(node: Node) -> int | None:
        for place, name in enumerate(node.inputs):
            if graph.computed(name) and graph.floating(name) and graph.shape(name) != graph.shape(node.output):
                return place + 1
        return None

    node = pick(graph, rng, "Add Mul Sub Div", broadcast)
    if node is None:
        return False
    place = (broadcast(node) or 1) - 1
    node.inputs[place] = graph.add(
        "Expand", node.inputs[place], graph.keep(np.array(graph.shape(node.output), np.int64))
    )
    return True
