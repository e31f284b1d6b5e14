"""Ranges that leave a tensor no codes, found by running the quantised model itself: such a pair is not clean.

A calibration that takes the extremes gives the scores of an attention the range of its mask's −1e9: one code is left
for all of them. onnxruntime's does so, and the outputs are as wrong as if the scores were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.converters.graph import Array, Graph, Node, from_proto, run

FEWEST = 4
"""Codes of 256; a tensor with fewer tells nothing but the sign and the size of its numbers …"""
DISTINCT = 16
"""… where it had more numbers than that."""
EASED = 0.5
"""Share of the outputs' error that may be left without such ranges, for the ranges to be what is wrong."""


def lost_ranges(quantised: Path, feeds: Mapping[str, Array], wanted: Mapping[str, Array]) -> list[str]:
    """The QuantizeLinear nodes that lose their tensor, where the outputs are wrong by them; ``wanted``: in float."""
    import onnx

    graph = from_proto(onnx.load(quantised), feeds)
    values = run(graph, everything=True)
    lost: list[Node] = []
    eased = values
    while found := _losing(graph, eased, lost):
        lost += found
        eased = run(_in_float(graph, {node.outputs[0]: node.inputs[0] for node in lost}), everything=True)
    left, before = (_error(got, wanted) for got in (eased, values))
    return [node.name for node in lost] if left < EASED * before else []


def _losing(graph: Graph, values: Mapping[str, Array], known: Sequence[Node]) -> list[Node]:
    """Those that lose their tensor, but for the known ones: what comes after a tensor that was lost has no more numbers
    to lose until that one is read as it was."""
    return [
        node
        for node in graph.nodes
        if node.op == "QuantizeLinear"
        and all(node is not one for one in known)
        and node.inputs[0] in values
        and np.unique(values[node.inputs[0]]).size > DISTINCT
        and np.unique(values[node.outputs[0]]).size < FEWEST
    ]


def _in_float(graph: Graph, coded: Mapping[str, str]) -> Graph:
    """The graph with what is coded read as it was before, ``coded``: codes → the tensor that they are of."""
    made, read = graph.copy(), {}
    for node in made.nodes:
        if node.op == "DequantizeLinear" and node.inputs[0] in coded:
            read[node.output] = coded[node.inputs[0]]
    made.nodes = [replace(node, inputs=[read.get(name, name) for name in node.inputs]) for node in made.nodes]
    return made


def _error(got: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """The largest error of an output, as a share of its deviation (root mean square)."""
    return max(_apart(got[name], array) for name, array in wanted.items())


def _apart(got: Array, wanted: Array) -> float:
    off = got.astype(np.float64) - wanted
    return float(np.sqrt(np.mean(np.square(off))) / max(float(wanted.std()), 1e-30))
