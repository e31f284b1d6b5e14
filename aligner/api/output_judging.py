"""The outputs of the reference, each with what was measured of it, as the verdict needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aligner.api.noise_floor import Floor
from aligner.api.summary import SideWriter
from aligner.errors import AlignerError
from aligner.execution.carried_rounding import carried_rounding
from aligner.execution.output_answers import OutputAnswer
from aligner.execution.side import Sides
from aligner.judgement.outputs import OutputFacts, Standing, standing
from aligner.judgement.rounding_sum import rounding_sum
from aligner.judgement.tolerance import region_numbers
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.records.comparison import NoiseFloor, Pair
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference
from aligner.records.measurement import Measured


@dataclass(frozen=True, slots=True)
class OutputJudging:
    """``bounds`` are the nodes' own relative ones; ``declared``: a side is meant to be coarser than float32."""

    sides: Sides
    measured: Mapping[str, Measured]
    bounds: Mapping[str, float]
    declared: bool
    fixed: bool = False
    """One number holds for every node, and is all that is asked."""

    def standings(self, answers: Sequence[OutputAnswer], floor: Floor | None, *, carry: bool) -> list[Standing]:
        """How every output stands; ``carry``: where nothing else explains an error, rounding is carried to it."""
        facts = [self._facts(answer, floor) for answer in answers]
        found = [standing(one) for one in facts]
        if not carry:  # somebody is guilty already: nobody asks whether it could be rounding
            return [replace(one, state="beyond") if one.state == "unshown" else one for one in found]
        if self.declared or not any(one.state in {"beyond", "unshown"} for one in found):
            return found
        carried = self._carried(answers)
        again = [
            self._facts(
                answer, floor, carried.get(answer.reference if self._moves_reference else answer.candidate or "")
            )
            for answer in answers
        ]
        return [standing(one) for one in again]

    def is_open(self, answer: OutputAnswer) -> bool:
        """Whether more must be asked to put an output's error down to rounding."""
        return not self.declared and standing(self._facts(answer, None)).state in {"beyond", "unshown"}

    @property
    def _moves_reference(self) -> bool:
        return self.sides[0].session.capabilities.can_inject

    def _carried(self, answers: Sequence[OutputAnswer]) -> dict[str, float]:
        """On the reference, where tensors can be put into it; else on the candidate."""
        moved = 0 if self._moves_reference else 1
        bounds, outputs = {}, []
        for item in self.measured.values():
            peak = item.accumulated.peak if item.accumulated is not None else 0.0
            value = (item.pair.reference, item.pair.candidate)[moved]
            bounds[value] = self.bounds.get(item.pair.candidate, 0.0) * peak
        for answer in answers:
            output = (answer.reference, answer.candidate)[moved]
            if output is not None and output in self.sides[moved].graph.values:
                outputs.append(output)
        try:
            return carried_rounding(self.sides[moved], bounds, list(dict.fromkeys(outputs)))
        except AlignerError:
            return {}

    def _facts(self, answer: OutputAnswer, floor: Floor | None, carried: float | None = None) -> OutputFacts:
        graphs = self.sides[0].graph, self.sides[1].graph
        names = [
            graph.values[value].name if value is not None and value in graph.values else value
            for graph, value in zip(graphs, (answer.reference, answer.candidate), strict=True)
        ]
        error, value = answer.error, answer.candidate
        if error is None or value is None:
            return OutputFacts(names[0] or answer.reference, names[1], None)
        known: NoiseFloor | None = floor.floors.get(value) if floor is not None and answer.paired else None
        return OutputFacts(
            names[0] or answer.reference,
            names[1],
            float("inf") if error.mismatched else error.errors.max_abs,
            error.errors.beyond if not error.mismatched else 1.0,
            self._summed(answer) * error.peak,
            known,
            carried,
            self.declared and answer.paired,  # else nothing says that the same is computed, however coarsely
            self.declared
            and not self.fixed
            and (bool(error.mismatched) or error.errors.max_abs >= self._lost(value, error)),
        )

    def _lost(self, value: str, error: Difference) -> float:
        """As much as the output is large, or where its own steps are larger, as much as these allow."""
        item = self.measured.get(value)
        step = region_numbers((self.sides[0].graph, self.sides[1].graph), item).step if item is not None else 0.0
        return max(error.peak, OWN_STEPS * step)

    def _summed(self, answer: OutputAnswer) -> float:
        if answer.paired and answer.candidate is not None:
            return rounding_sum(self.measured, self.bounds, answer.candidate)
        return sum(self.bounds.values())


def held_pairs(
    writers: tuple[SideWriter, SideWriter], answers: Sequence[OutputAnswer], standings: Sequence[Standing]
) -> list[Pair]:
    """Pairs of outputs that only their names or places pair, as the report shows them."""
    found = []
    for answer, stands in zip(answers, standings, strict=True):
        if answer.paired or answer.candidate is None or answer.error is None:
            continue
        off = stands.state in {"beyond", "unshown"}
        found.append(
            Pair(
                reference=writers[0].side(answer.reference),
                candidate=writers[1].side(answer.candidate),
                rule="output",
                confidence=0.7,
                axes=answer.axes,
                verdict="introduced" if off else "aligned",
                accumulated=answer.error.errors,
                note="the two outputs are computed from different tensors: one side goes on where the other ends"
                if off
                else None,
            ).identified()
        )
    return found


def interval(measured: Sequence[Measured], judging: OutputJudging, floor: Floor | None) -> tuple[str, str] | None:
    """The last pair before the first that is further from the reference than rounding explains, and that first."""
    last: str | None = None
    for item in measured:
        value, error = item.pair.candidate, item.accumulated
        if error is None:
            continue
        known = floor.floors.get(value) if floor is not None else None
        facts = OutputFacts(
            value,
            value,
            float("inf") if error.mismatched else error.errors.max_abs,
            error.errors.beyond,
            rounding_sum(judging.measured, judging.bounds, value) * error.peak,
            known,
        )
        if standing(facts).state in {"beyond", "unshown"}:
            before = [v for v in item.pair.candidate_region.inputs if v in judging.measured]
            return (before[-1] if before else last or value), value
        last = value
    return None
