"""Operations that change nothing in this run, and yet answer one of the other side's that does."""

from __future__ import annotations

from collections.abc import Mapping

from aligner.alignment.compatibility import agree, same_word, weight_sizes
from aligner.alignment.matching import Matching
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import AFFINE, SUNDRY, neutral_element
from aligner.records.graph import Node

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
    behind = _behind_others(matching)
    return (
        _standing_for(right, left, matching.root_source, sources) | behind[0],
        _standing_for(left, right, roots, partners) | behind[1],
    )


def _behind_others(matching: Matching) -> Revived:
    """Neutral nodes of one side alone behind an operation that is not the other side's: the two are one on that side.

    A square root divided by one stands for a reciprocal square root, and it is the division that is wrong.
    """
    sides = matching.reference, matching.candidate
    found: tuple[set[int], set[int]] = (set(), set())
    for reference, (candidate, _) in matching.roots.items():
        roots = reference, candidate
        makers = [side.producer.get(root) for side, root in zip(sides, roots, strict=True)]
        if makers[0] is None or makers[1] is None:
            continue
        taken = [len(side.data_inputs(maker)) for side, maker in zip(sides, makers, strict=True) if maker is not None]
        if taken[0] == taken[1] and _one_operation(makers[0], makers[1]):
            continue
        if any(weight_sizes(side, maker) for side, maker in zip(sides, makers, strict=True) if maker is not None):
            continue
        if agree(sides[0].sketches.get(reference), sides[1].sketches.get(candidate)) is not False:
            continue
        neutral = [_neutral(side, root) for side, root in zip(sides, roots, strict=True)]
        if bool(neutral[0]) != bool(neutral[1]):
            found[0].update(neutral[0])
            found[1].update(neutral[1])
    return frozenset(found[0]), frozenset(found[1])


def _one_operation(reference: Node, candidate: Node) -> bool:
    same = reference.kind == candidate.kind
    return same and (reference.kind not in SUNDRY or same_word(reference.op, candidate.op))


def _neutral(skeleton: Skeleton, root: str) -> set[int]:
    steps = [skeleton.producer[value] for value in skeleton.members(root) if value != root]
    return {step.index for step in steps if step.kind in AFFINE}


def _standing_for(
    skeleton: Skeleton, other: Skeleton, answers: Mapping[str, str], partners: Mapping[int, int]
) -> frozenset[int]:
    """Neutral nodes of the other side; ``answers`` and ``partners`` lead from this side to the other."""
    found = set[int]()
    for node in skeleton.compute:
        if (data := _scaled(skeleton, node)) is None:
            continue
        answer = answers.get(skeleton.root(data))
        if answer is None or skeleton.root(node.outputs[0]) in answers:
            continue
        row, readers = _row(skeleton, node, answers, partners)
        found |= _first_neutral(other, row, answer, readers)
    return frozenset(found)


def _scaled(skeleton: Skeleton, node: Node) -> str | None:
    """The one tensor that a node scales or shifts."""
    data = skeleton.data_inputs(node) if node.kind in AFFINE else []
    return data[0] if len(data) == 1 else None


def _row(
    skeleton: Skeleton, node: Node, answers: Mapping[str, str], partners: Mapping[int, int]
) -> tuple[list[Node], set[int | None]]:
    """Scales and shifts in a row that nothing answers, and the partners of what reads the last of them."""
    row = [node]
    while True:
        after = [reader for reader, _ in skeleton.readers(row[-1].outputs[0])]
        readers = {partners.get(reader.index) for reader in after} - {None}
        only = after[0] if len(after) == 1 else None
        if readers or only is None or _scaled(skeleton, only) is None or skeleton.root(only.outputs[0]) in answers:
            return row, readers
        row.append(only)


def _first_neutral(other: Skeleton, row: list[Node], root: str, readers: set[int | None]) -> set[int]:
    """The nearest neutral nodes of a tensor that do the like, one after the other, and lead to one of these readers."""
    for reader, form in other.readers(root):
        if reader.index not in readers:
            continue
        found, left = set[int](), list(row)
        for value in other.chain(form)[1:]:
            step = other.producer[value]
            if left and step.kind in AFFINE and neutral_element(step.kind) == neutral_element(left[0].kind):
                found.add(step.index)
                left.pop(0)
        if found:
            return found
    return set()
