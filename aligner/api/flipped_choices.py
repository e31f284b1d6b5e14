"""Discrete choices that fall otherwise because of what they choose by, and the outputs with the reference's instead.

A place in an order, a class, a comparison jumps where what it is made from moves by as little as rounding does. The
node is right (its own error says so); what it reads is held as an output is held; and the candidate run again with the
reference's choices in place of its own tells whether all that the outputs are off by comes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aligner.api.frozen_noise import outputs_with
from aligner.api.output_judging import OutputJudging
from aligner.execution.output_answers import OutputAnswer
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.execution.ties import margins
from aligner.judgement.tolerance import rounds_to_integers
from aligner.judgement.whole_facts import Flipped
from aligner.operations.kinds import QUANTIZES, STEPS
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

_EXPLAINED = 0.5
"""Share of their error that the outputs keep at most with the reference's choices: the greater part comes of these."""


@dataclass(frozen=True, slots=True)
class FlippedChoices:
    """Asks one comparison that has found no node guilty."""

    sides: tuple[OpenSide, OpenSide]
    passes: Passes
    judging: OutputJudging

    def found(self, answers: Sequence[OutputAnswer]) -> Flipped | None:
        """What flips, where that explains what outputs are off by; one more run where something does."""
        broken = [one for one in answers if one.error is not None and not one.agrees and one.paired]
        chosen = self._flipped() if broken and self.sides[1].session.capabilities.can_inject else []
        operands = [item for choice in chosen for item in self._operands(choice)]
        if not chosen or not operands or not all(map(self._is_rounding, operands)):
            return None
        values = {item.pair.candidate for item in chosen}
        others = [one for one in answers if one.candidate not in values]
        again = outputs_with(self.sides, self.passes, list(self.judging.measured.values()), values) if others else {}
        if again is None:
            return None
        put = [replace(one, error=again.get(one.candidate or "", one.error)) for one in others]
        stands = self.judging.standings(put, None, carry=False)
        before, after = (max(map(_size, kept), default=0.0) for kept in (answers, put))
        if after > _EXPLAINED * before or not all(one.state in {"within", "rounding"} for one in stands):
            return None
        first = chosen[0]
        return Flipped(
            self.sides[1].graph.values[first.pair.candidate].name,
            first.accumulated.unequal if first.accumulated is not None else 0,
            first.accumulated.size if first.accumulated is not None else 0,
            margins(self.sides[1].graph, self.passes, first),
            max(_accumulated(item) for item in operands),
            after,
        )

    def _flipped(self) -> list[Measured]:
        """Pairs of choices that the two sides, each by itself, make otherwise somewhere."""
        graph = self.sides[1].graph
        return [
            item
            for item in self.judging.measured.values()
            if item.accumulated is not None and item.accumulated.unequal and _chooses(graph, item)
        ]

    def _operands(self, choice: Measured) -> list[Measured]:
        """What it chooses by: real numbers that were paired."""
        known = [self.judging.measured.get(value) for value in choice.pair.candidate_region.inputs]
        return [item for item in known if item is not None and _accumulated(item) > 0 and not _is_whole(item)]

    def _is_rounding(self, item: Measured) -> bool:
        """Whether a tensor, were it an output, would be off by no more than rounding explains."""
        answer = OutputAnswer(item.pair.reference, item.pair.candidate, True, item.pair.axes, item.accumulated)
        return self.judging.standings([answer], None, carry=True)[0].state in {"within", "rounding"}


def _chooses(graph: Graph, item: Measured) -> bool:
    nodes = [graph.nodes[at] for at in item.pair.candidate_region.nodes]
    value = graph.values.get(item.pair.candidate)
    if not nodes or value is None or value.quantization is not None:
        return False
    last = nodes[-1]
    whole = _is_whole(item) and last.kind in STEPS - QUANTIZES
    return whole or (last.kind == "unary" and rounds_to_integers(graph, item.candidate_dtype, nodes))


def _is_whole(item: Measured) -> bool:
    return plain_dtype(item.candidate_dtype or "").startswith(("int", "uint", "bool"))


def _accumulated(item: Measured) -> float:
    return 0.0 if item.accumulated is None else item.accumulated.errors.max_abs


def _size(answer: OutputAnswer) -> float:
    if answer.error is None:
        return 0.0
    return float("inf") if answer.error.mismatched else answer.error.errors.max_abs
