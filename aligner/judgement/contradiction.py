"""Nodes that are right when they run alone and wrong within the whole: a runtime may fuse one and not the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.numerics.rounding import UNITS
from aligner.operations.kinds import AMPLIFIES, STEP_FUNCTIONS
from aligner.parameters.canonical import operation_kind
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

_EQUAL = 1e-5
"""Relative error of what is read, up to which the two sides read the same: what the contract allows by default."""
_UNIT = 2 * UNITS["float32"]
"""One unit in the last place: what is read is never known to agree better."""
_BLOWN_UP, _GROWN = 1e5, 1e3
"""How many times the relative and the largest error of what is read is no rounding that a sound region makes larger.
Of 3,199 tensors of clean pairs none made more than 6 and 47 times as much (``benchmarks.properties.contradictions``).
Both: where numbers cancel, all that is left may be rounding, and is as small as that."""


@dataclass(frozen=True, slots=True)
class Fed:
    """How far what a region reads is apart, relatively and at most; never less than a unit of its own size."""

    relative: float
    size: float


def contradicted(graph: Graph, measured: Sequence[Measured]) -> list[tuple[Measured, str]]:
    """Pairs, and what to say: what the region reads agrees, what it gives does not, and alone it does."""
    by_value = {item.pair.candidate: item for item in measured}
    return [(item, words) for item in measured if (words := _words(graph, item, by_value))]


def _words(graph: Graph, item: Measured, by_value: Mapping[str, Measured]) -> str | None:
    fed, whole = agrees_alone(graph, item, by_value), item.accumulated
    if fed is None or whole is None:
        return None
    blown_up = whole.relative > _BLOWN_UP * fed.relative and whole.errors.max_abs > _GROWN * fed.size
    if not whole.mismatched and not blown_up:
        return None
    told = "turns non-finite" if whole.mismatched else f"is {whole.relative:.0%} off"
    return f"alone it gives what the reference gives; within the whole it {told}, although what it reads agrees"


def agrees_alone(graph: Graph, item: Measured, by_value: Mapping[str, Measured]) -> Fed | None:
    """What a region reads, where that agrees and what the region makes of the reference's tensors does."""
    local, region = item.local, item.pair.candidate_region
    if local is None or local.mismatched or local.relative > _EQUAL or item.step is not None:
        return None
    reads = [by_value[value].accumulated for value in region.inputs if value in by_value]
    if (
        not reads
        or len(reads) != len(region.inputs)
        or any(_jumps(graph, graph.nodes[index]) for index in region.nodes)
    ):
        return None
    known = [read for read in reads if read is not None and not read.mismatched]
    relative = max((read.relative for read in known), default=0.0)
    if len(known) < len(reads) or relative > _EQUAL:
        return None
    size = max(_UNIT * read.scale + read.errors.max_abs for read in known)
    return Fed(max(_UNIT, relative), size)


def _jumps(graph: Graph, node: Node) -> bool:
    return node.kind in AMPLIFIES or (node.kind == "unary" and operation_kind(graph, node) in {None, *STEP_FUNCTIONS})
