"""The certificate of a verdict: the culprits' tensors replaced by the reference's, all at once and but for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from aligner.api.noise_floor import Floor
from aligner.api.output_judging import OutputJudging
from aligner.errors import AlignerError
from aligner.execution.injected_run import InjectedRun
from aligner.execution.output_answers import OutputAnswer
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.outputs import Standing
from aligner.judgement.rounding_sum import own_bounds, rounding_sum
from aligner.records.alignment import PairedValues
from aligner.records.certificate import Certificate, CulpritEffect, OutputStanding
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference

_ONE_BY_ONE = 4
"""Culprits that are also left as they are while the others are replaced, the first that no other one hides: a run
each."""


@dataclass(frozen=True, slots=True)
class Certifying:
    """Runs one comparison's candidate with some tensors replaced."""

    sides: Sides
    passes: Passes
    judging: OutputJudging
    answers: Sequence[OutputAnswer]

    def certificate(
        self,
        culprits: Sequence[str],
        standings: Sequence[Standing],
        floor: Floor | None,
        interval: tuple[str, str] | None,
    ) -> Certificate:
        """For culprits by candidate value, in order; without one the outputs as they stand."""
        errors = {answer.candidate: _error(answer.error) for answer in self.answers if answer.error is not None}
        worst = max(errors, key=lambda value: errors[value], default=None)
        known = floor.floors.get(worst) if floor is not None and worst is not None else None
        plain = Certificate(
            before=errors[worst] if errors else None,
            outputs=tuple(map(_standing, standings)),
            floor=None if known is None else (known.reference, known.candidate),
            interval=interval or (),
        )
        injectable = self.passes.injectable() if culprits and self.passes.computing == 1 else {}
        if not culprits or not set(culprits) <= set(injectable):
            return plain
        try:
            return self._run(plain, culprits)
        except AlignerError:
            return plain

    def _run(self, plain: Certificate, culprits: Sequence[str]) -> Certificate:
        bounds = self._bounds()
        after, sufficient = self._replaced(culprits, bounds)
        effects = []
        left = _ONE_BY_ONE
        for value in culprits:
            others = [other for other in culprits if other != value]
            if not others:
                effects.append(CulpritEffect(self._name(value), plain.before, self._breaks(bounds)))
            elif left and self._shows(value, others):
                left -= 1
                error, kept = self._replaced(others, bounds)
                effects.append(CulpritEffect(self._name(value), error, None if kept is None else not kept))
            else:
                effects.append(CulpritEffect(self._name(value)))
        return Certificate(plain.before, after, sufficient, tuple(effects), plain.outputs, plain.floor, plain.interval)

    def _shows(self, value: str, others: Collection[str]) -> bool:
        """Whether a way leads from a culprit to an output that passes no other one, whose tensor would hide it."""
        graph, stack, seen = self.sides[1].graph, [value], {value, *others}
        while stack:
            one = stack.pop()
            if one in graph.outputs:
                return True
            for node in graph.readers(one):
                stack += [output for output in node.outputs if output not in seen]
                seen.update(node.outputs)
        return False

    def _breaks(self, bounds: Mapping[str, float]) -> bool:
        """Whether an output breaks the contract as it stands, by more than rounding."""
        return any(a.error is not None and not self._kept(a.candidate or "", a.error, bounds) for a in self.answers)

    def _kept(self, value: str, error: Difference, bounds: Mapping[str, float]) -> bool:
        rounding = rounding_sum(self.judging.measured, bounds, value) * error.peak
        return (not error.errors.beyond or _error(error) <= rounding) and not error.mismatched

    def _name(self, value: str) -> str:
        values = self.sides[1].graph.values
        return values[value].name if value in values else value

    def _bounds(self) -> Mapping[str, float]:
        """What rounding allows each node, in the precision that the sides declare as well, where nothing else is
        asked for it: an output is excused then, and what is left of its error is to be explained."""
        judging = self.judging
        if not judging.declared or judging.fixed:
            return judging.bounds
        return own_bounds((self.sides[0].graph, self.sides[1].graph), [*judging.measured.values()])

    def _replaced(self, values: Collection[str], bounds: Mapping[str, float]) -> tuple[float | None, bool | None]:
        """The largest error of the paired outputs with these values the reference's, and whether it is no more than
        the contract, or rounding that no node makes larger, allows."""
        injectable = self._held_by(values)
        outputs = {
            answer.candidate: self.passes.measured[answer.candidate].pair
            for answer in self.answers
            if answer.paired and answer.candidate is not None and answer.candidate in self.passes.measured
        }
        worst, kept = (0.0 if outputs.keys() & injectable.keys() else None), True
        run = InjectedRun(*self.sides, injectable, {v: p for v, p in outputs.items() if v not in injectable})
        for value, tensor, expected in run:
            error = self.passes.held(value, expected, tensor)
            if error is None:
                continue
            worst = max(worst or 0.0, _error(error))
            kept = kept and self._kept(value, error, bounds)
        return worst, None if worst is None else kept

    def _held_by(self, values: Collection[str]) -> dict[str, PairedValues]:
        """Pairs to replace for these values: they and the other forms of the same tensors.

        A tensor that is stored in few bits cannot hold the reference's numbers; what it is dequantised to can.
        """
        injectable = self.passes.injectable()
        tensors = {injectable[value].reference for value in values}
        return {value: pair for value, pair in injectable.items() if pair.reference in tensors}


def _error(error: Difference | None) -> float:
    return 0.0 if error is None else float("inf") if error.mismatched else error.errors.max_abs


def _standing(one: Standing) -> OutputStanding:
    measured = one.state not in {"unanswered", "incomparable"}
    return OutputStanding(
        one.name, one.candidate, one.state, one.error if measured else None, one.margin if measured else None
    )
