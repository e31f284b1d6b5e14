"""Nodes that read another tensor of the model than the reference's do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.operations.kinds import SHIFTS
from aligner.records.axis_order import to_candidate
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.subgraph import Change


class WrongOperand(Cause):
    """A node reads a tensor that answers another one than the reference's node reads."""

    id: ClassVar[str] = "wrong-operand"
    fix: ClassVar[str] = "connect the node to the tensor that the reference reads"
    example: ClassVar[str] = "a gated unit that multiplies by its gate, for gate and value are exchanged"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """What a region reads beside what the reference's reads, with that in its place; sums are residuals."""
        yield from (claim for kind, claim in read_of_another(culprit, context) if kind not in SHIFTS)


def read_of_another(culprit: Culprit, context: Context) -> Iterator[tuple[str, Claim]]:
    """(The kind of the node that reads it, a claim) for each tensor that only the candidate's region reads, and each
    that only the reference's does; but for sums, where neither is made of the other.
    """
    mine, theirs = (subgraph.region.inputs for subgraph in culprit.subgraphs[::-1])
    answers = {name: pair for name in mine if (pair := context.pair_of(name)) is not None}
    wanted = [name for name in theirs if name not in {pair.reference for pair in answers.values()}]
    for name, pair in answers.items():
        held = culprit.candidate.array(name)
        node = next((node for node in culprit.candidate.nodes if name in node.inputs), None)
        if held is None or node is None or pair.reference in theirs:
            continue
        for right in wanted:
            if node.kind not in SHIFTS and culprit.graphs[0].in_line(pair.reference, right):
                continue
            array = culprit.reference.array(right)
            moved = to_candidate(array, pair.axes, held.shape) if array is not None else None
            if moved is not None:
                evidence = f"{node.name} reads {name}, which answers the reference's {pair.reference}; the reference "
                claim = Claim(
                    evidence + f"reads {right} there",
                    f"connect {node.name} to what answers {right}",
                    "with that tensor in its place",
                    Counterfactual(culprit, 1, Change(arrays={name: moved})),
                    node=node.name,
                    written=True,
                    only_proven=True,
                )
                yield node.kind, claim
