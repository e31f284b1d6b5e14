"""Operations that change nothing in this run, and yet answer one of the other side's that does."""

from __future__ import annotations

from collections.abc import Mapping

from aligner.alignment.matching import Matching
from aligner.alignment.skeleton import UNLESS_CHANGED, Skeleton
from aligner.records.graph import Node

_KIN = ({"add", "sub"}, {"mul", "div"})

Revived = tuple[frozenset[int], frozenset[int]]
"""Node indices of the reference and of the candidate."""


def revived(matching: Matching) -> Revived:
    """The neutral nodes that stand where the other side computes: a scale of one in the place of another scale.

    Both sides' operands answer each other and both results are read by nodes that do, so that it is the node between
    that differs; as a mere form of its operand it would leave the blame to its reader.
    """
    left, right = matching.reference, matching.candidate
    partners = {index: node.index for index, node in matching.node_partner.items()}
    sources = {index: node.index for index, node in matching.node_source.items()}
    roots = {reference: candidate for reference, (candidate, _) in matching.roots.items()}
    return _standing_for(right, left, matching.root_source, sources), _standing_for(left, right, roots, partners)


def _standing_for(
    skeleton: Skeleton, other: Skeleton, answers: Mapping[str, str], partners: Mapping[int, int]
) -> frozenset[int]:
    """Neutral nodes of the other side; ``answers`` and ``partners`` lead from this side to the other."""
    found = set[int]()
    for node in skeleton.compute:
        if node.kind not in UNLESS_CHANGED or len(data := skeleton.data_inputs(node)) != 1:
            continue
        answer = answers.get(skeleton.root(data[0]))
        if answer is None or skeleton.root(node.outputs[0]) in answers:
            continue
        readers = {partners.get(reader.index) for reader, _ in skeleton.readers(node.outputs[0])} - {None}
        found |= _first_neutral(other, node, answer, readers)
    return frozenset(found)


def _first_neutral(other: Skeleton, node: Node, root: str, readers: set[int | None]) -> set[int]:
    """The nearest neutral node of a tensor that does the like and leads to one of these readers."""
    for reader, form in other.readers(root):
        if reader.index not in readers:
            continue
        for value in other.chain(form)[1:]:
            step = other.producer[value]
            if step.kind in UNLESS_CHANGED and any({step.kind, node.kind} <= kin for kin in _KIN):
                return {step.index}
    return set()
