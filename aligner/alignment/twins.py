"""Tensors that hold the same numbers as exactly one of the other side: no third one answers them."""

from __future__ import annotations

from collections.abc import Collection

from aligner.alignment.compatibility import SAME_FEW, agree, same_order
from aligner.alignment.skeleton import Skeleton
from aligner.alignment.sketch_index import SketchShelf
from aligner.operations.kinds import ACTIVATIONS, LINEAR, same_family
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node

GIVEN = frozenset({"map", "input"})
"""Rules that ask no numbers."""
_FEW = 4
"""Elements below which tensors agree by chance."""


@dataclass(frozen=True, slots=True)
class Twins:
    """``partner`` by reference root, ``source`` by candidate root."""

    partner: dict[str, str]
    source: dict[str, str]

    def allow(self, reference: str, candidate: str) -> bool:
        """Whether neither of two tensors has another twin."""
        return (
            self.partner.get(reference, candidate) == candidate and self.source.get(candidate, reference) == reference
        )


def twins(reference: Skeleton, candidate: Skeleton, known: Collection[tuple[str, str]] = ()) -> Twins:
    """Twins to rounding that nodes of one family compute, where no other tensor of either side is even near.

    ``known`` pairs are settled otherwise.
    """
    settled = {value for pair in known for value in pair}
    shelves = [
        SketchShelf(
            (side.sketches[value], value)
            for node in side.compute
            for value in node.outputs
            if value in side.sketches and side.sketches[value].size >= _FEW
        )
        for side in (reference, candidate)
    ]
    found: dict[str, str] = {}
    for node in reference.compute:
        for value in node.outputs:
            one = reference.sketches.get(value)
            if one is None or value in settled or one.size < _FEW or len([*shelves[0].like(one)]) != 1:
                continue
            same = [*shelves[1].like(one)]
            if len(same) != 1 or same[0] in settled:
                continue
            other = candidate.sketches[same[0]]
            if not agree(one, other, within=SAME_FEW) or (one.shape == other.shape and not same_order(one, other)):
                continue
            maker = candidate.producer[same[0]]
            kinds = {node.kind, _layer(reference, node)}, {maker.kind, _layer(candidate, maker)}
            if any(same_family(a, b) for a in kinds[0] for b in kinds[1]):  # x · 1/√x holds what √x does, and is not it
                found[value] = same[0]
    return Twins(found, {other: value for value, other in found.items()})


def _layer(side: Skeleton, node: Node) -> str:
    """The kind of the layer that an activation ends, into which a converter may have put it."""
    data = side.data_inputs(node) if node.kind in ACTIVATIONS else []
    layer = side.producer.get(side.root(data[0])) if len(data) == 1 else None
    return layer.kind if layer is not None and layer.kind in LINEAR else node.kind
