"""Stored numbers that are not the ones that were trained."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.faults.registry import Planted, at, fault, pick, weighted
from benchmarks.converters.graph import Graph, Node

WEIGHTED = "Conv ConvTranspose Gemm MatMul LSTM GRU"


def _node(graph: Graph, rng: np.random.Generator, ops: str = WEIGHTED) -> Node | None:
    return pick(graph, rng, ops, lambda node: weighted(graph, node))


@fault
def weights_scaled(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = _node(graph, rng)
    if node is None:
        return None
    factor = float(rng.choice([0.5, 0.9, 1.05, 1.3, 2.0]))
    node.inputs[1] = graph.keep(graph.constants[node.inputs[1]] * np.float32(factor))
    return at(node, f"weights × {factor}")


@fault
def weights_noised(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = _node(graph, rng)
    if node is None:
        return None
    weight, share = graph.constants[node.inputs[1]], float(rng.choice([0.02, 0.1, 0.3]))
    node.inputs[1] = graph.keep(weight + rng.standard_normal(weight.shape) * weight.std() * share)
    return at(node, f"weights with {share:.0%} noise")


@fault
def weights_fresh(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = _node(graph, rng)
    if node is None:
        return None
    weight = graph.constants[node.inputs[1]]
    edge = weight.std() * 3**0.5
    node.inputs[1] = graph.keep(rng.uniform(-edge, edge, weight.shape))
    return at(node, "weights drawn anew")


@fault
def weights_permuted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Rows of the weight in another order."""
    node = _node(graph, rng, "Conv Gemm MatMul")
    if node is None:
        return None
    weight = graph.constants[node.inputs[1]]
    axis = int(rng.integers(2)) if node.op != "Conv" else 0
    node.inputs[1] = graph.keep(np.roll(weight, max(weight.shape[axis] // 3, 1), axis))
    return at(node, f"weights rolled along axis {axis}")


@fault
def weights_transposed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A square matrix transposed, a kernel flipped or with its sides swapped."""
    node = _node(graph, rng, "Conv Gemm MatMul")
    if node is None:
        return None
    weight = graph.constants[node.inputs[1]]
    if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        made = weight.T
    elif weight.ndim == 4 and weight.shape[2] > 1:
        made = weight[:, :, ::-1] if rng.random() < 0.5 else np.swapaxes(weight, 2, 3)
    else:
        return None
    node.inputs[1] = graph.keep(made)
    return at(node, "weights transposed or flipped")


@fault
def weights_in_steps(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Rounded to a few levels and back."""
    node = _node(graph, rng)
    if node is None:
        return None
    weight = graph.constants[node.inputs[1]]
    step = np.abs(weight).max() / int(rng.choice([7, 15, 31]))
    node.inputs[1] = graph.keep(np.round(weight / step) * step)
    return at(node, "weights in steps")


@fault
def one_channel_wrong(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = _node(graph, rng, "Conv Gemm")
    if node is None:
        return None
    weight = graph.constants[node.inputs[1]].copy()
    weight[int(rng.integers(len(weight)))] *= float(rng.choice([0.0, 3.0]))
    node.inputs[1] = graph.keep(weight)
    return at(node, "one channel")


def _biased(graph: Graph, node: Node) -> int:
    """The place of a bias, 0 for none."""
    if node.op in {"Conv", "ConvTranspose", "Gemm"}:
        return 2 if len(node.inputs) > 2 and node.inputs[2] in graph.constants else 0
    for place, name in enumerate(node.inputs):
        other, array = graph.producer(node.inputs[1 - place]), graph.constant(name)
        linear = other is not None and other.op in {"MatMul", "Conv", "Gemm"}
        if linear and array is not None and array.size > 1:
            return place + 10
    return 0


@fault
def bias_lost(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Conv ConvTranspose Gemm Add", lambda n: _biased(graph, n))
    if node is None:
        return None
    place = _biased(graph, node)
    if place == 2:
        del node.inputs[2]
        return at(node, "bias lost")
    tensor = node.output
    graph.redirect(tensor, node.inputs[1 - (place - 10)])
    graph.remove(node)
    return Planted((), (tensor,), f"Add {node.name}: taken out with its bias")


@fault
def bias_doubled(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Conv ConvTranspose Gemm Add", lambda n: _biased(graph, n))
    if node is None:
        return None
    place = _biased(graph, node) % 10 if _biased(graph, node) >= 10 else 2
    node.inputs[place] = graph.keep(2 * graph.constants[node.inputs[place]])
    return at(node, "bias doubled")


@fault
def norm_parameters_swapped(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "BatchNormalization LayerNormalization InstanceNormalization")
    if node is None:
        return None
    node.inputs[1], node.inputs[2] = node.inputs[2], node.inputs[1]
    return at(node, "scale and shift swapped")


@fault
def norm_statistics_wrong(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """The variance taken for a deviation, or the initial statistics."""
    node = pick(graph, rng, "BatchNormalization")
    if node is None:
        return None
    variance = graph.constants[node.inputs[4]]
    if rng.random() < 0.5:
        node.inputs[4] = graph.keep(variance**2)
        return at(node, "variance squared")
    node.inputs[3], node.inputs[4] = graph.keep(np.zeros_like(variance)), graph.keep(np.ones_like(variance))
    return at(node, "statistics of the initialiser")


@fault
def gates_in_another_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "LSTM GRU")
    if node is None:
        return None
    gates = 4 if node.op == "LSTM" else 3
    order = [1, 0, *range(2, gates)] if rng.random() < 0.5 else [gates - 1, *range(gates - 1)]
    for place in (1, 2, 3):
        blocks = np.split(graph.constants[node.inputs[place]], gates * (2 if place == 3 else 1), axis=1)
        halves = [blocks[start : start + gates] for start in range(0, len(blocks), gates)]
        node.inputs[place] = graph.keep(np.concatenate([half[each] for half in halves for each in order], 1))
    return at(node, "gates in another order")
