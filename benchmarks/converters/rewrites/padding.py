"""Padding as an attribute, as a node of its own, as a word."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, rewrite


def _padded(node: Node) -> bool:
    return any(node.attributes.get("pads", ())) and not node.attributes.get("ceil_mode", 0)


def _pad(graph: Graph, node: Node, value: float) -> None:
    pads = list(node.attributes["pads"])
    half = len(pads) // 2
    around = graph.keep(np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64), "pads")
    node.inputs[0] = graph.add("Pad", node.inputs[0], around, graph.keep(np.float32(value)), mode="constant")
    node.attributes["pads"] = [0] * len(pads)


@rewrite
def convolution_pads_out(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Conv", _padded)
    if node is not None:
        _pad(graph, node, 0)
    return node is not None


@rewrite
def pool_pads_out(graph: Graph, rng: np.random.Generator) -> bool:
    """Maximum: padded with less than everything; average: with zeros that are counted."""
    node = pick(graph, rng, "MaxPool AveragePool", _padded)
    if node is None or (node.op == "AveragePool" and not node.attributes.get("count_include_pad")):
        return False
    lowest = float(rng.choice([-np.inf, np.finfo(np.float32).min]))
    _pad(graph, node, lowest if node.op == "MaxPool" else 0)
    return True


@rewrite
def pads_in(graph: Graph, rng: np.random.Generator) -> bool:
    """A Pad of zeros before a convolution becomes its attribute."""

    def zeros(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        return (
            maker is not None
            and maker.op == "Pad"
            and graph.constants.keys() >= {*maker.inputs[1:3]}
            and not np.any(graph.constants[maker.inputs[2]])
            and graph.sole_reader(maker.output) is node
        )

    node = pick(graph, rng, "Conv", zeros)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    around = graph.constants[maker.inputs[1]]
    half = len(around) // 2
    more = [*around[2:half], *around[half + 2 :]]
    node.attributes["pads"] = [int(a + b) for a, b in zip(node.attributes["pads"], more, strict=True)]
    node.inputs[0] = maker.inputs[0]
    return True


@rewrite
def pads_by_word(graph: Graph, rng: np.random.Generator) -> bool:
    """SAME_UPPER where it is what the numbers say."""

    def same(node: Node) -> bool:
        if (
            max(node.attributes.get("dilations", [1])) > 1
            or "auto_pad" in node.attributes
            or node.attributes.get("ceil_mode")
            or "pads" not in node.attributes
        ):
            return False
        sizes = graph.shape(node.inputs[0])[2:]
        kernel = node.attributes.get("kernel_shape") or list(graph.shape(node.inputs[1])[2:])
        strides = node.attributes.get("strides") or [1] * len(sizes)
        dilations = node.attributes.get("dilations") or [1] * len(sizes)
        begin, end = [], []
        for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            begin.append(total // 2)
            end.append(total - total // 2)
        return list(node.attributes["pads"]) == begin + end

    node = pick(graph, rng, "Conv MaxPool", same)
    if node is not None:
        del node.attributes["pads"]
        node.attributes["auto_pad"] = "SAME_UPPER"
    return node is not None
