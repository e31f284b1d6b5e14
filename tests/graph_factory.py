"""Small graphs, written by hand or shuffled, for tests of alignment that need no framework."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aligner.records.graph import Graph, Node, Value, Weight


class GraphBuilder:
    """Adds nodes one by one; every call returns the new value's name."""

    def __init__(self, framework="toy", channels="first", prefix=""):
        self.framework, self.channels, self.prefix = framework, channels, prefix
        self.nodes, self.values, self.weights, self.inputs = [], {}, {}, []

    def input(self, name, shape):
        self.inputs.append(name)
        self.values[name] = Value(name, name, shape, "float32")
        return name

    def weight(self, array):
        name = f"{self.prefix}w{len(self.weights)}"
        array = np.asarray(array, dtype=np.float32)
        self.weights[name] = Weight(name, array.shape, "float32", lambda: array)
        return name

    def node(self, kind, inputs, shape, scope=None, op=None, **attributes):
        index = len(self.nodes)
        output = f"{self.prefix}{kind}_{index}"
        weights = tuple(name for name in inputs if name in self.weights)
        self.nodes.append(
            Node(index, f"{output}_node", op or kind, kind, tuple(inputs), (output,), weights, attributes, scope)
        )
        self.values[output] = Value(output, output, shape, "float32")
        return output

    def graph(self, *outputs):
        return Graph(
            self.framework, tuple(self.nodes), self.values, self.weights, tuple(self.inputs), outputs, self.channels
        )


def conv_net(prefix="", seed=0, folded=False, channels="first", identities=False, blocks=3):
    """conv → norm → relu blocks with a residual sum; ``folded`` drops the norms into the convolutions."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder(channels=channels, prefix=prefix)

    def shape(width):
        return (1, width, 8, 6) if channels == "first" else (1, 8, 6, width)

    value, width = builder.input(f"{prefix}x", shape(3)), 3
    for _ in range(blocks):
        kernel = rng.normal(size=(4, width, 3, 3)).astype(np.float32)
        gamma, beta = rng.uniform(0.5, 2, 4), rng.normal(size=4)
        mean, variance = rng.normal(size=4), rng.uniform(0.5, 2, 4)
        before = value
        if folded:
            scale = gamma / np.sqrt(variance + 1e-5)
            kernel = kernel * scale[:, None, None, None]
            if channels == "last":
                kernel = kernel.transpose(0, 2, 3, 1)
            bias = beta - mean * scale
            value = builder.node("conv", [value, builder.weight(kernel), builder.weight(bias)], shape(4))
        else:
            value = builder.node("conv", [value, builder.weight(kernel)], shape(4))
            vectors = [builder.weight(vector) for vector in (gamma, beta, mean, variance)]
            value = builder.node("norm", [value, *vectors], shape(4), epsilon=1e-5)
        if identities:
            value = builder.node("identity", [value], shape(4))
        value = builder.node("relu", [value], shape(4))
        if width == 4:
            value = builder.node("add", [value, before], shape(4))
        width = 4
    return builder.graph(value)


def shuffled(graph, seed):
    """The same graph with its nodes in another valid order and every value and node renamed."""
    rng = np.random.default_rng(seed)
    ready, left, order = set(graph.inputs) | set(graph.weights), list(graph.nodes), []
    while left:
        able = [node for node in left if all(name in ready for name in node.inputs)]
        node = able[rng.integers(len(able))]
        left.remove(node)
        order.append(node)
        ready.update(node.outputs)
    names = {name: f"v{rng.integers(1 << 40)}" for name in [*graph.values, *graph.weights]}
    nodes = tuple(
        replace(
            node,
            index=index,
            name=f"n{index}",
            inputs=tuple(names[name] for name in node.inputs),
            outputs=tuple(names[name] for name in node.outputs),
            weights=tuple(names[name] for name in node.weights),
            scope=None,
        )
        for index, node in enumerate(order)
    )
    values = {names[k]: replace(v, id=names[k], name=names[k]) for k, v in graph.values.items()}
    weights = {names[k]: replace(w, name=names[k]) for k, w in graph.weights.items()}
    ends = [tuple(names[name] for name in side) for side in (graph.inputs, graph.outputs)]
    return replace(graph, nodes=nodes, values=values, weights=weights, inputs=ends[0], outputs=ends[1]), names
