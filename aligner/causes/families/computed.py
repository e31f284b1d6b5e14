"""What goes wrong while a constant is computed: parts joined, axes moved, a bias lost, far from where it shows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.constant_maker import wrong_move, wrong_weight
from aligner.causes.constant_operands import ConstantOperand, constant_pairs, differ, in_candidates_form
from aligner.causes.context import Context
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit

_NEEDED = 0.98
"""Share of the error that has to go, as for whatever is found by trying (``cause.SEARCHED``)."""


class _Computed(Cause):
    """The node that makes a constant wrong; the proof gives what reads it the constant that node should have made."""

    advice: ClassVar[str] = ""

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Each computed constant that differs and that such a node explains."""
        if culprit.expected is None or culprit.found is None:
            return
        for mine, theirs in constant_pairs(culprit):
            right = None if mine.stored else in_candidates_form(culprit, mine, theirs)
            if right is None or not differ(mine.array, right):
                continue
            told = self.tell(culprit, mine, theirs, right)
            if told is None:
                continue
            node, words = told
            yield Claim(
                f"{node.name} {words}; the constant that {mine.node.name} reads is made of it",
                self.advice or self.fix,
                "with that put right",
                culprit.replaced(culprit.candidate, mine.node, mine.replaced_by(right)),
                node=node.name,
            )

    @abstractmethod
    def tell(
        self, culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand, right: Array
    ) -> tuple[Node, str] | None:
        """The node, and what is wrong with it; None where it is not this cause."""


class _Moved(_Computed):
    """A node that moves numbers in another order; another one gives the reference's."""

    kind: ClassVar[str] = ""
    words: ClassVar[str] = ""

    def tell(
        self, culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand, right: Array
    ) -> tuple[Node, str] | None:
        """A node of this kind with another order of its few parts or axes."""
        move = wrong_move(culprit.candidate, mine, right)
        if move is None or move.node.kind != self.kind:
            return None
        return move.node, self.words.format(count=len(move.order), order=move.order)


class ComputedConcat(_Moved):
    """The parts of a constant joined in another order."""

    id: ClassVar[str] = "concat-order"
    fix: ClassVar[str] = "pass the parts in the reference's order"
    example: ClassVar[str] = "skip connection and upsampled features joined the other way round"
    kind: ClassVar[str] = "concat"
    words: ClassVar[str] = "joins its {count} parts in another order; the reference has them as {order}"


class ComputedTransposed(_Moved):
    """The axes of a constant exchanged on the way."""

    id: ClassVar[str] = "layout-transposition"
    fix: ClassVar[str] = "give the transposition the reference's order, or remove the one that was added"
    example: ClassVar[str] = "permute(0, 2, 3, 1) for permute(0, 3, 1, 2)"
    advice: ClassVar[str] = "transpose as the reference does"
    kind: ClassVar[str] = "transpose"
    words: ClassVar[str] = "transposes otherwise than the reference, which comes to {order}"


class ComputedBias(_Computed):
    """A layer on the way to a constant lacks its bias."""

    id: ClassVar[str] = "weights-bias-missing"
    fix: ClassVar[str] = "carry the bias over, once"
    example: ClassVar[str] = "a bias lost when a layer was fused"

    def tell(
        self, culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand, right: Array
    ) -> tuple[Node, str] | None:
        """All that the constant is made of is the reference's but for a vector of zeros."""
        found = wrong_weight(culprit, mine, theirs)
        if found is None or not found.zeros:
            return None
        return found.node, f"reads {found.name}, which is all zeros; the reference's {found.right} is not"
