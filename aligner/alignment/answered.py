"""How much of what two models compute has an answer: tensors with a partner, and virtual ones inside another's node."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aligner.alignment.matching import Matching
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import MOVES_DATA
from aligner.records.alignment import Answered, PairedValues, Region
from aligner.records.graph import Node


def answered(matching: Matching, pairs: Sequence[PairedValues]) -> tuple[Answered, Answered]:
    """The tensors of either side that are computed and not only moved, counted by whether and how they are answered."""
    sides = matching.reference, matching.candidate
    regions = [pair.regions for pair in pairs]
    return (
        _counted(sides, {pair.reference for pair in pairs}, regions),
        _counted(sides[::-1], {pair.candidate for pair in pairs}, [(theirs, ours) for ours, theirs in regions]),
    )


def observed(skeleton: Skeleton, value: str) -> bool:
    """Whether a run showed a value; without a run all count."""
    return not skeleton.sketches or value in skeleton.sketches


def unread(skeleton: Skeleton, value: str) -> bool:
    """Whether nobody asks for a value."""
    return not skeleton.graph.readers(value) and value not in skeleton.graph.outputs


def _counted(
    sides: tuple[Skeleton, Skeleton], paired: Collection[str], regions: Sequence[tuple[Region, Region]]
) -> Answered:
    """The first side's tensors; those of a region's inside are virtual where the other side has but one node there.

    There is nothing on the other side then that they could be paired with: what lowering that node gives are steps
    without a value in any run, which are replayed where the region errs. One such region is enough, whatever other
    regions a tensor is inside of: what is wrong with it shows there.
    """
    own, other = sides
    roots = {own.root(value) for value in paired}
    computed = [
        (node.index, value)
        for node in own.compute
        if _computes(own, node)
        for value in node.outputs
        if value and observed(own, value) and not (len(node.outputs) > 1 and unread(own, value))
    ]
    within: dict[int, list[Region]] = {}
    for ours, theirs in regions:
        for index in ours.nodes:
            within.setdefault(index, []).append(theirs)
    inside = [within.get(index, []) for index, value in computed if own.root(value) not in roots]
    virtual = sum(any(_nodes(other, region) == 1 for region in around) for around in inside)
    return Answered(len(computed), len(computed) - len(inside), virtual)


def _nodes(skeleton: Skeleton, region: Region) -> int:
    """How many nodes of a region compute, and do not only move."""
    return sum(_computes(skeleton, skeleton.by_index[index]) for index in region.nodes)


def _computes(skeleton: Skeleton, node: Node) -> bool:
    return node.kind not in MOVES_DATA and not skeleton.moves(node)
