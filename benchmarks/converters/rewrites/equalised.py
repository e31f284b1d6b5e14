"""Hidden channels scaled, in another order, or more of them: what quantisers and hardware do between two layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.converters.graph import Array, Graph, Node
from benchmarks.converters.rewrites.linear import stored
from benchmarks.converters.rewrites.registry import pick, rarer

_ELEMENTWISE = {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Erf", "HardSwish", "Elu", "Softplus", "Gelu"}
Change = Callable[[Array, int], Array]
"""What becomes of a stored array along its axis of channels."""


def _hidden(graph: Graph, end: Node) -> tuple[list[Node], list[tuple[Node, int]], int] | None:
    """The layers that make the channels which one layer alone uses up, and the constants beside them on the way.

    Everything between works element by element: an activation, spelled out or not, or the product of two layers.
    """
    makers, beside, waiting, seen = [], [], [end.inputs[0]], {end.inputs[0]}
    width = graph.shape(end.inputs[0])[-1]
    between: set[str] = set()
    while waiting:
        name = waiting.pop()
        node = graph.producer(name)
        if node is None or name in graph.outputs or graph.shape(name)[-1] != width:
            return None
        if node.op == "MatMul" and stored(graph, node):
            makers.append(node)
            continue
        if node.op not in {*_ELEMENTWISE, "Add", "Mul", "Div", "Pow"}:
            return None
        between.add(node.name)
        for place, read in enumerate(node.inputs):
            held = graph.constant(read)
            if held is not None and held.size > 1:
                beside.append((node, place))
            elif held is None and read not in seen:
                seen.add(read)
                waiting.append(read)
    readers = {reader.name for name in seen for reader in graph.readers(name)}
    inside = readers <= between | {end.name} and all(graph.constants[n.inputs[p]].ndim == 1 for n, p in beside)
    return (makers, beside, width) if makers and inside else None


def _changed(graph: Graph, rng: np.random.Generator, draw: Callable[[int], tuple[Change, Change]]) -> bool:
    """Change the channels of some hidden tensor where they are made, and where they are used up."""
    end = pick(graph, rng, "MatMul", lambda node: stored(graph, node) and _hidden(graph, node))
    found = _hidden(graph, end) if end is not None else None
    if end is None or found is None:
        return False
    makers, beside, width = found
    made, used = draw(width)
    for node, place in [*((maker, 1) for maker in makers), *beside]:
        node.inputs[place] = graph.keep(made(graph.constants[node.inputs[place]], -1))
    end.inputs[1] = graph.keep(used(graph.constants[end.inputs[1]], 0))
    return True


@rarer
def hidden_in_another_order(graph: Graph, rng: np.random.Generator) -> bool:
    """The channels between two layers in another order, through a gate as well."""

    def draw(width: int) -> tuple[Change, Change]:
        order = rng.permutation(width)
        return (lambda array, axis: np.take(array, order, axis),) * 2

    return _changed(graph, rng, draw)


@rarer
def hidden_padded(graph: Graph, rng: np.random.Generator) -> bool:
    """More channels between two layers, to fill the hardware's blocks; the layer behind multiplies them by nothing."""

    def padded(array: Array, axis: int) -> Array:
        widths = [(0, 0)] * array.ndim
        widths[axis] = (0, more)
        return np.pad(array, widths)

    more = int(rng.integers(1, 5))
    return _changed(graph, rng, lambda width: (padded, padded))  # noqa: ARG005


@rarer
def norm_equalised(graph: Graph, rng: np.random.Generator) -> bool:
    """A norm's channels divided by factors that the matrices behind it take up (SmoothQuant)."""

    def behind(node: Node) -> list[Node]:
        readers = graph.readers(node.output)
        fits = all(each.op == "MatMul" and stored(graph, each) and each.inputs[0] == node.output for each in readers)
        return readers if fits and node.output not in graph.outputs else []

    node = pick(graph, rng, "LayerNormalization", lambda n: len(n.inputs) == 3 and behind(n))
    if node is None:
        return False
    factors = 2.0 ** rng.uniform(-2, 2, graph.shape(node.output)[-1])
    for reader in behind(node):
        reader.inputs[1] = graph.keep(graph.constants[reader.inputs[1]] * factors[:, None])
    node.inputs[1:] = [graph.keep(graph.constants[name] / factors) for name in node.inputs[1:]]
    return True


def _through_heads(graph: Graph, product: Node) -> tuple[Node, Node, list[tuple[Node, int]]] | None:
    """Of a product of scores with values: what projects the values, what projects the result, biases of the former."""
    beside, name = [], product.inputs[1]
    while (node := graph.producer(name)) is not None and graph.sole_reader(name) is not None:
        if node.op == "MatMul" and stored(graph, node):
            break
        held = [place for place, read in enumerate(node.inputs) if read in graph.constants]
        if node.op == "Add" and held and graph.constants[node.inputs[held[0]]].ndim == 1:
            beside.append((node, held[0]))
            name = node.inputs[1 - held[0]]
        elif node.op in {"Reshape", "Transpose"}:
            name = node.inputs[0]
        else:
            return None
    reader = graph.sole_reader(product.output)
    while reader is not None and reader.op in {"Transpose", "Reshape"}:
        reader = graph.sole_reader(reader.output)
    if node is None or node.op != "MatMul" or reader is None or reader.op != "MatMul" or not stored(graph, reader):
        return None
    same = graph.shape(node.inputs[1])[1] == graph.shape(reader.inputs[1])[0]
    return (node, reader, beside) if same else None


@rarer
def values_equalised(graph: Graph, rng: np.random.Generator) -> bool:
    """Channels of attention's values scaled, and scaled back by the projection behind it."""

    def attends(node: Node) -> object:
        scores = graph.producer(node.inputs[0])
        return scores is not None and scores.op == "Softmax" and _through_heads(graph, node)

    node = pick(graph, rng, "MatMul", attends)
    found = _through_heads(graph, node) if node is not None else None
    if found is None:
        return False
    values, back, beside = found
    factors = 2.0 ** rng.uniform(-2, 2, graph.shape(values.inputs[1])[1])
    for each, place in ((values, 1), *beside):
        each.inputs[place] = graph.keep(graph.constants[each.inputs[place]] * factors)
    back.inputs[1] = graph.keep(graph.constants[back.inputs[1]] / factors[:, None])
    return True


@rarer
def channels_padded(graph: Graph, rng: np.random.Generator) -> bool:
    """More channels between two convolutions, which the second multiplies by nothing."""

    def between(node: Node) -> tuple[Node, Node] | None:
        maker, reader = graph.producer(node.inputs[0]), graph.sole_reader(node.output)
        if maker is None or reader is None or graph.sole_reader(maker.output) is not node:
            return None
        pair = maker, reader
        plain = all(each.op == "Conv" and each.attributes.get("group", 1) == 1 for each in pair)
        kept = all(name in graph.constants for each in pair for name in each.inputs[1:])
        return pair if plain and kept and reader.inputs[0] == node.output else None

    node = pick(graph, rng, "Relu LeakyRelu Sigmoid HardSwish Clip Elu Tanh", between)
    found = between(node) if node is not None else None
    if found is None:
        return False
    maker, reader = found
    more, kernel = int(rng.integers(1, 5)), graph.constants[maker.inputs[1]]
    maker.inputs[1] = graph.keep(np.pad(kernel, ((0, more), *[(0, 0)] * (kernel.ndim - 1))))
    maker.inputs[2:] = [graph.keep(np.pad(graph.constants[name], (0, more))) for name in maker.inputs[2:]]
    kernel = graph.constants[reader.inputs[1]]
    reader.inputs[1] = graph.keep(np.pad(kernel, ((0, 0), (0, more), *[(0, 0)] * (kernel.ndim - 2))))
    return True
