"""Recurrent cells written out, step by step."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


@rewrite
def two_directions_apart(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "LSTM GRU", lambda n: n.attributes.get("direction") == "bidirectional")
    if node is None:
        return False
    made = []
    for place, direction in enumerate(("forward", "reverse")):
        weights = [graph.keep(graph.constants[name][place : place + 1]) for name in node.inputs[1:4]]
        made.append(graph.add(node.op, node.inputs[0], *weights, **{**node.attributes, "direction": direction}))
    return replace(graph, node, graph.add("Concat", *made, axis=1))


@rewrite
def cell_unrolled(graph: Graph, rng: np.random.Generator) -> bool:
    """An LSTM of one direction as products and gates for each step."""
    node = pick(graph, rng, "LSTM", lambda n: n.attributes.get("direction", "forward") == "forward")
    if node is None:
        return False
    steps, batch, _ = graph.shape(node.inputs[0])
    width = node.attributes["hidden_size"]
    weight, again = (graph.keep(graph.constants[name][0].T) for name in node.inputs[1:3])
    biases = graph.constants[node.inputs[3]][0]
    bias = graph.keep(biases[: 4 * width] + biases[4 * width :])
    sizes = graph.keep(np.array([width] * 4, np.int64))
    each = graph.add_all("Split", node.inputs[0], graph.keep(np.array([1] * steps, np.int64)), count=steps, axis=0)
    hidden = cell = graph.keep(np.zeros((batch, width)))
    axes, rows = graph.keep(np.array([0], np.int64)), []
    for step in each:
        x = graph.add("MatMul", graph.add("Squeeze", step, axes), weight)
        total = graph.add("Add", graph.add("Add", x, graph.add("MatMul", hidden, again)), bias)
        i, o, f, c = graph.add_all("Split", total, sizes, count=4, axis=1)
        kept = graph.add("Mul", graph.add("Sigmoid", f), cell)
        cell = graph.add("Add", kept, graph.add("Mul", graph.add("Sigmoid", i), graph.add("Tanh", c)))
        hidden = graph.add("Mul", graph.add("Sigmoid", o), graph.add("Tanh", cell))
        rows.append(graph.add("Reshape", hidden, graph.keep(np.array([1, 1, batch, width], np.int64))))
    return replace(graph, node, graph.add("Concat", *rows, axis=0))


@rewrite
def cell_biases_joined(graph: Graph, rng: np.random.Generator) -> bool:
    """Both biases of an LSTM in the first half."""
    node = pick(graph, rng, "LSTM")
    if node is None:
        return False
    bias = graph.constants[node.inputs[3]]
    half = bias.shape[1] // 2
    joined = np.zeros_like(bias)
    joined[:, :half] = bias[:, :half] + bias[:, half:]
    node.inputs[3] = graph.keep(joined)
    return True
