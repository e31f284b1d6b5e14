"""Islands of another layout, moves pushed through what does not mind them."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite

POINTWISE = "Relu LeakyRelu Sigmoid Tanh Clip Elu HardSwish HardSigmoid Erf Softplus Gelu Exp Neg Sqrt Abs"
_LAST = {3: [0, 2, 1], 4: [0, 2, 3, 1]}
_FIRST = {3: [0, 2, 1], 4: [0, 3, 1, 2]}


@rewrite
def island_around_activation(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, POINTWISE, lambda n: graph.rank(n.inputs[0]) in _LAST)
    if node is None:
        return False
    rank = graph.rank(node.inputs[0])
    inner = graph.add(
        node.op, graph.add("Transpose", node.inputs[0], perm=_LAST[rank]), *node.inputs[1:], **dict(node.attributes)
    )
    return replace(graph, node, graph.add("Transpose", inner, perm=_FIRST[rank]))


@rewrite
def island_around_sum(graph: Graph, rng: np.random.Generator) -> bool:
    """Two tensors are added, or multiplied, channels last."""
    node = pick(
        graph,
        rng,
        "Add Mul",
        lambda n: len({graph.shape(name) for name in n.inputs}) == 1 and graph.rank(n.output) in _LAST,
    )
    if node is None:
        return False
    rank = graph.rank(node.output)
    moved = [graph.add("Transpose", name, perm=_LAST[rank]) for name in node.inputs]
    return replace(graph, node, graph.add("Transpose", graph.add(node.op, *moved), perm=_FIRST[rank]))


@rewrite
def island_around_join(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Concat", lambda n: graph.rank(n.output) == 4 and n.attributes["axis"] == 1)
    if node is None:
        return False
    moved = [graph.add("Transpose", name, perm=_LAST[4]) for name in node.inputs]
    return replace(graph, node, graph.add("Transpose", graph.add("Concat", *moved, axis=3), perm=_FIRST[4]))


@rewrite
def island_around_batch_norm(graph: Graph, rng: np.random.Generator) -> bool:
    """Channels last, the normalisation as a product and a sum there."""
    node = pick(
        graph,
        rng,
        "BatchNormalization",
        lambda n: graph.rank(n.output) == 4 and all(i in graph.constants for i in n.inputs[1:]),
    )
    if node is None:
        return False
    from benchmarks.converters.rewrites.normalisation import affine

    scale, shift = (graph.keep(each) for each in affine(graph, node))
    y = graph.add("Transpose", node.inputs[0], perm=_LAST[4])
    y = graph.add("Add", graph.add("Mul", y, scale), shift)
    return replace(graph, node, graph.add("Transpose", y, perm=_FIRST[4]))


@rewrite
def everything_channels_last(graph: Graph, rng: np.random.Generator) -> bool:
    """Every convolution and pooling between transpositions, as by tf2onnx before it optimises."""
    if rng.random() < 0.5:
        return False
    rows = [
        n
        for n in graph.nodes
        if n.op in {"Conv", "MaxPool", "AveragePool", "BatchNormalization"} and graph.rank(n.inputs[0]) == 4
    ]
    for node in rows:
        output = node.output
        back = graph.add("Transpose", graph.add("Transpose", output, perm=_LAST[4]), perm=_FIRST[4])
        for reader in [n for n in graph.readers(output) if n is not graph.nodes[-2]]:
            reader.inputs = [back if name == output else name for name in reader.inputs]
    return bool(rows)


@rewrite
def move_through_activation(graph: Graph, rng: np.random.Generator) -> bool:
    """A transposition or reshape behind an activation comes before it."""

    def movable(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        return maker is not None and maker.op in POINTWISE.split() and graph.sole_reader(maker.output) is node

    node = pick(graph, rng, "Transpose Reshape Flatten Squeeze Unsqueeze", movable)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    moved = graph.add(node.op, maker.inputs[0], *node.inputs[1:], **dict(node.attributes))
    return replace(graph, node, graph.add(maker.op, moved, *maker.inputs[1:], **dict(maker.attributes)))


@rewrite
def heads_in_the_batch(graph: Graph, rng: np.random.Generator) -> bool:
    """A product of [batch, heads, …] with the two axes as one."""
    node = pick(graph, rng, "MatMul", lambda n: all(graph.rank(name) == 4 for name in n.inputs))
    if node is None:
        return False
    if graph.shape(node.inputs[0])[:2] != graph.shape(node.inputs[1])[:2]:
        return False
    flat = []
    for name in node.inputs:
        batch, heads, *rest = graph.shape(name)
        flat.append(graph.add("Reshape", name, graph.keep(np.array([batch * heads, *rest], np.int64))))
    y = graph.add("MatMul", *flat)
    return replace(graph, node, graph.add("Reshape", y, graph.keep(np.array(graph.shape(node.output), np.int64))))


@rewrite
def move_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A transposition as two."""
    node = pick(graph, rng, "Transpose", lambda n: len(n.attributes["perm"]) > 2)
    if node is None:
        return False
    perm = np.array(node.attributes["perm"])
    first = rng.permutation(len(perm))
    second = [int(np.where(first == axis)[0][0]) for axis in perm]
    inner = graph.add("Transpose", node.inputs[0], perm=[int(each) for each in first])
    return replace(graph, node, graph.add("Transpose", inner, perm=second))


@rewrite
def reshape_in_other_words(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Reshape Flatten Squeeze Unsqueeze")
    if node is None:
        return False
    shape, x = graph.shape(node.output), node.inputs[0]
    if rng.random() < 0.5 or 0 in shape:
        return replace(graph, node, graph.add("Reshape", x, graph.keep(np.array(shape, np.int64))))
    if len(shape) < 2:
        return False
    if graph.shape(x)[:1] == shape[:1]:
        first = graph.add("Gather", graph.add("Shape", x), graph.keep(np.array([0], np.int64)), axis=0)
    else:
        first = graph.keep(np.array([shape[0]], np.int64))
    sizes = [first, graph.keep(np.array([-1, *shape[2:]], np.int64))]
    return replace(graph, node, graph.add("Reshape", x, graph.add("Concat", *sizes, axis=0)))
