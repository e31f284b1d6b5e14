"""Nodes that are right when they run alone and wrong within the whole: a runtime may fuse one and not the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.operations.kinds import AMPLIFIES, STEP_FUNCTIONS
from aligner.parameters.canonical import operation_kind
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

_EQUAL = 1e-5
"""Relative error of what is read, up to which the two sides read the same …"""
_OTHER = 0.05
"""… and of what comes of it, from which the two sides compute something else …"""
_BLOWN_UP = 1e5
"""… if that is more than so many times as much: no sound step of a network makes so much of rounding."""
_GROWN = 1e3
"""And so many times as large: where numbers cancel, all that is left may be rounding, and is as small as that."""
_LEAST = 1e-7
"""Rounding of float32 (its unit is 6 · 10⁻⁸) that inputs have even where they are equal."""


def contradicted(graph: Graph, measured: Sequence[Measured]) -> list[tuple[Measured, str]]:
    """Pairs, and what to say: what the region reads agrees, what it gives does not, and alone it does."""
    by_value = {item.pair.candidate: item for item in measured}
    return [(item, words) for item in measured if (words := _words(graph, item, by_value))]


def _words(graph: Graph, item: Measured, by_value: Mapping[str, Measured]) -> str | None:
    local, whole = item.local, item.accumulated
    if local is None or whole is None or local.mismatched or local.relative > _EQUAL or item.step is not None:
        return None
    reads = [by_value[value].accumulated for value in item.pair.candidate_region.inputs if value in by_value]
    nodes = [graph.nodes[index] for index in item.pair.candidate_region.nodes]
    if not reads or len(reads) != len(item.pair.candidate_region.inputs) or any(_jumps(graph, node) for node in nodes):
        return None
    worst = max(_LEAST, *(float("inf") if read is None or read.mismatched else read.relative for read in reads))
    if worst > _EQUAL or (not whole.mismatched and whole.relative <= max(_OTHER, _BLOWN_UP * worst)):
        return None
    size = max(_LEAST * read.scale + read.errors.max_abs for read in reads if read is not None)
    if not whole.mismatched and whole.errors.max_abs <= _GROWN * size:
        return None
    told = "turns non-finite" if whole.mismatched else f"is {whole.relative:.0%} off"
    return f"alone it gives what the reference gives; within the whole it {told}, although what it reads agrees"


def _jumps(graph: Graph, node: Node) -> bool:
    return node.kind in AMPLIFIES or (node.kind == "unary" and operation_kind(graph, node) in {None, *STEP_FUNCTIONS})
