"""From measurements to a report: verdicts, causes, what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from aligner.alignment.saved_mapping import spelled
from aligner.api import noise_floor, summary
from aligner.api.certifying import Certifying
from aligner.api.explanation import Explanation
from aligner.api.flipped_choices import FlippedChoices
from aligner.api.frozen_noise import frozen_outputs
from aligner.api.noise_floor import Floor
from aligner.api.observer_effect import Hidden, ObserverEffect
from aligner.api.options import CompareOptions
from aligner.api.output_judging import OutputJudging, held_pairs, interval
from aligner.api.proven_places import with_proven_places
from aligner.api.unfilled_ranges import UnfilledRanges
from aligner.causes.context import Context
from aligner.causes.global_causes import find_global_causes
from aligner.errors import listing
from aligner.execution.clipping import Clipping
from aligner.execution.clock import Clock
from aligner.execution.joint_runs import JointRuns
from aligner.execution.output_answers import OutputAnswer, exchanged, output_answers
from aligner.execution.passes import Passes
from aligner.execution.repetition import disturbed
from aligner.execution.side import OpenSide, Sides
from aligner.inputs import PreparedFeeds
from aligner.judgement.closed_regions import ClosedRegions
from aligner.judgement.conclusion import Conclusion, conclude
from aligner.judgement.ill_conditioned import Condition, condition
from aligner.judgement.inner_nodes import InnerNodes
from aligner.judgement.judgement import Judgement
from aligner.judgement.outputs import Standing
from aligner.judgement.pair_facts import Rules
from aligner.judgement.precision import declares_quantization, stores_coarsely
from aligner.judgement.rounding_sum import own_bounds
from aligner.judgement.tolerance import is_coarse, region_numbers
from aligner.judgement.unseen_weights import same_on_others, unseen
from aligner.judgement.verdicts import judge
from aligner.judgement.whole_facts import WholeFacts
from aligner.operations.kinds import MAY_DRAW
from aligner.records.alignment import Alignment
from aligner.records.certificate import Certificate
from aligner.records.comparison import GUILTY, Comparison, Coverage, Finding, Pair, Tolerance
from aligner.records.dataclass import dataclass
from aligner.records.measurement import Measured
from aligner.records.observation import Observations, UnsteadyNode


@dataclass(frozen=True, slots=True)
class _Judged:
    """What there is to conclude from; ``judgements`` are in the order of ``measured``."""

    measured: list[Measured]
    judgements: list[Judgement]
    floor: Floor | None
    judging: OutputJudging
    answers: list[OutputAnswer]
    standings: list[Standing]
    exchanged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Written:
    """Pairs as the report shows them, the outputs among them; ``shown`` are all outputs, those too that only their
    names or places pair, ``held``."""

    writers: tuple[summary.SideWriter, summary.SideWriter]
    pairs: list[Pair]
    outputs: list[Pair]
    missing: int
    held: list[Pair]
    shown: list[Pair]
    hidden: Sequence[Hidden]
    state: Condition | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Concluding:
    """``notes`` are what the report says already; ``target`` is what the candidate was opened from."""

    sides: Sides
    options: CompareOptions
    clock: Clock
    observer: ObserverEffect
    notes: list[str]
    target: object
    observations: list[Observations] = field(default_factory=list)
    unasked: OpenSide | None = None
    """The reference, where it has only run observed."""

    def _floor(
        self, passes: Passes, measured: list[Measured], judgements: list[Judgement], *, doubtful: bool, declared: bool
    ) -> Floor | None:
        """Both sides from another seed, the reference in float64: asked for, or needed to judge.

        ``doubtful``: an output breaks the contract by more than the bounds of its nodes; ``declared``: a side is
        coarser than float32 by intent, so that distances from float64 say nothing.
        """
        asked = self.options.noise_floor
        if self.options.tolerance is not None or declared:
            asked = bool(asked)
        doubted = self.options.noise_floor is not False and any(one.verdict in GUILTY for one in judgements)
        if doubted and not asked and self.unasked is not None:
            told = disturbed(self.unasked, self.unasked.predict())  # does it answer itself?
            self.observations.append(told)
            self.notes.extend(told.notes)
            asked = bool(told.notes) or asked
        if doubted and not asked:
            asked = self._may_draw(measured, judgements) or asked
        if not noise_floor.is_wanted(asked, measured, judgements, doubtful=doubtful):
            return None
        with self.clock.phase("noise floor"):
            floor = noise_floor.measure(self.sides[0], self.sides[1], passes, measured, judgements)
            floor.telling = not declared
            self.observations.append(Observations(tuple(UnsteadyNode(*place) for place in sorted(floor.unsteady))))
        self.notes.extend(floor.notes)
        return floor

    def _may_draw(self, measured: list[Measured], judgements: list[Judgement]) -> bool:
        """Whether a node that may draw random numbers, as dropout does in training, stands in both regions of a guilty
        pair."""
        graphs = self.sides[0].graph, self.sides[1].graph
        return any(
            judgement.verdict in GUILTY
            and all(
                any(graph.nodes[index].kind in MAY_DRAW for index in region.nodes)
                for graph, region in zip(graphs, item.pair.regions, strict=True)
            )
            for item, judgement in zip(measured, judgements, strict=True)
        )

    def _rules(self) -> Rules:
        return Rules(self.options.atol, self.options.rtol, self.options.tolerance, relaid=self.options.relaid)

    def _tolerance(self) -> Tolerance:
        fixed = self._rules().fixed
        rule = "rounding bounds by node" if fixed is None else f"fixed {fixed:g} at every node"
        return Tolerance(atol=self.options.atol, rtol=self.options.rtol, rule=rule)

    def _judged(self, passes: Passes) -> _Judged:
        """The measurements, a judgement for each, the outputs, the noise floor if asked for or needed."""
        graphs = self.sides[0].graph, self.sides[1].graph
        with self.clock.phase("judge"):
            Clipping(self.sides, passes).settle()
            measured, tolerance = list(passes.measured.values()), (self.options.atol, self.options.rtol)
            answers = output_answers(self.sides, measured, self.observer.kept, tolerance, self.options.caches)
            apart = frozenset(one.candidate for one in answers if one.candidate is not None and one.reordered)
            rules = replace(self._rules(), outputs_agree=bool(answers) and all(one.agrees for one in answers))
            joint = self._joint(passes, rules, apart)
            jointly = joint.judge if joint is not None else None
            within = passes.computing == 1 and joint is not None and rules.fixed is None
            erring = InnerNodes(self.sides, passes).erring if within else None
            judgements = judge(graphs, measured, rules, None, jointly, erring)
            first = next((m for m, j in zip(measured, judgements, strict=True) if j.verdict in GUILTY), None)
            if first is not None:
                passes.count_unique(first.pair.candidate)
                measured = list(passes.measured.values())
            judging = self._judging(measured, answers)
        doubtful = any(map(judging.is_open, answers))
        floor = self._floor(passes, measured, judgements, doubtful=doubtful, declared=judging.declared)
        if floor is not None and (floor.excuses() or floor.unsteady):
            rules = replace(rules, unsteady=floor.unsteady)
            judgements = judge(graphs, measured, rules, floor.excuses(), jointly, erring)
        if joint is not None:
            measured = self._settled(passes, joint)
        settled = not any(one.verdict in GUILTY or one.verdict == "nondeterministic" for one in judgements)
        with self.clock.phase("outputs"):
            standings = judging.standings(answers, floor, carry=settled)
        swapped = exchanged(self.sides, answers, self.observer.kept, tolerance)
        return _Judged(measured, judgements, floor, judging, answers, standings, swapped)

    def _joint(self, passes: Passes, rules: Rules, apart: frozenset[str]) -> ClosedRegions | None:
        """What judges regions as one, where a side can be run on the other's tensors."""
        if self.options.local == "never" or passes.computing is None:
            return None
        return ClosedRegions((self.sides[0].graph, self.sides[1].graph), JointRuns(self.sides, passes), rules, apart)

    def _settled(self, passes: Passes, joint: ClosedRegions) -> list[Measured]:
        """The measurements, with what the regions left of local errors; their values stay as they are from now on."""
        self.notes.extend(joint.notes)
        passes.free = frozenset(joint.free)
        for value, error in joint.residual.items():
            passes.measured[value] = replace(passes.measured[value], local=error)
        return list(passes.measured.values())

    def _judging(self, measured: Sequence[Measured], answers: Sequence[OutputAnswer]) -> OutputJudging:
        """The nodes' bounds are worked out only where an output breaks the contract."""
        graphs = self.sides[0].graph, self.sides[1].graph
        declared = self.options.tolerance is not None or any(
            is_coarse(graph) or declares_quantization(graph) or stores_coarsely(graph) for graph in graphs
        )
        broken = any(one.error is not None and not one.agrees for one in answers)
        bounds = own_bounds(graphs, measured) if broken and not declared else {}
        by_value, fixed = {item.pair.candidate: item for item in measured}, self.options.tolerance is not None
        return OutputJudging(self.sides, by_value, bounds, declared, fixed)

    def _explained(
        self,
        passes: Passes,
        judged: _Judged,
        ends: tuple[Sequence[Pair], Sequence[Pair]],
        alignment: Alignment | None,
    ) -> Explanation:
        """Why; with an ``alignment`` also what is told of a comparison that diverged."""
        graphs = self.sides[0].graph, self.sides[1].graph
        measured, judgements = judged.measured, judged.judgements
        guilty = {place: item for place, item in enumerate(measured) if judgements[place].verdict in GUILTY}
        if not self.options.explain:
            return Explanation([])
        verdicts = {m.pair.candidate: j.verdict for m, j in zip(measured, judgements, strict=True)}
        found = list(guilty.values())
        partial = frozenset(place for place, side in enumerate(self.sides) if hasattr(side.session, "recorded_feeds"))
        recorded = passes.computing != 1 or 1 in partial
        sliding = frozenset(v for one in judged.answers if one.shared for v in (one.reference, one.candidate) if v)
        seen = sum(self.observations, Observations())
        context = Context(graphs, measured, found, verdicts, seen, judged.exchanged, recorded, partial, sliding)
        if not guilty and alignment is None:
            with self.clock.phase("diagnose"):
                return Explanation(find_global_causes(context))
        from aligner.api.explaining import explained

        return explained(self.sides, self.clock, passes, context, guilty, ends, alignment, self.options.told)

    def _interval(self, judged: _Judged) -> tuple[str, str] | None:
        if not any(one.state == "beyond" for one in judged.standings):
            return None
        return interval(judged.measured, judged.judging, judged.floor)

    def _certificate(
        self, passes: Passes, judged: _Judged, conclusion: Conclusion, interval: tuple[str, str] | None
    ) -> Certificate:
        guilty = [
            item.pair.candidate
            for item, one in zip(judged.measured, judged.judgements, strict=True)
            if one.verdict in GUILTY
        ]
        certifying = Certifying(self.sides, passes, judged.judging, judged.answers)
        with self.clock.phase("certify"):
            culprits = guilty if conclusion.verdict == "diverged" else []
            return certifying.certificate(culprits, judged.standings, judged.floor, interval)

    def comparison(self, passes: Passes, alignment: Alignment, fed: PreparedFeeds) -> Comparison:
        """Everything there is to say. The sessions still run: causes are tried on them, pictures drawn from them."""
        judged = self._judged(passes)
        written = self._written(judged)
        self.notes.extend(written.notes)
        facts = self._facts(passes, judged, written, summary.coverage(alignment), fed)
        conclusion = conclude(facts)
        if conclusion.verdict == "aligned":
            self.notes.extend(self._without_effect(passes, judged))
        diverged = alignment if conclusion.verdict == "diverged" else None
        why = self._explained(passes, judged, (written.pairs, written.outputs), diverged)
        more = [written.state.finding] if written.state and written.state.finding else []
        causes = _placed(_with_hidden([*why.causes, *more], written.hidden), written.pairs)
        introduced = with_proven_places(conclusion.introduced, causes)
        return Comparison(
            verdict=conclusion.verdict,
            rule=conclusion.rule,
            certificate=self._certificate(passes, judged, conclusion, facts.interval),
            opinions=conclusion.opinions,
            reason=conclusion.reason,
            reference=self.sides[0].summary(),
            candidate=self.sides[1].summary(),
            tolerance=self._tolerance(),
            coverage=facts.coverage,
            first_divergence=introduced[0] if introduced else None,
            introduced=tuple(introduced),
            causes=causes,
            outputs=tuple(written.shown),
            pairs=(*with_proven_places(written.pairs, causes), *written.held),
            unpaired_reference=summary.unpaired(written.writers[0], dict(alignment.unpaired_reference)),
            unpaired_candidate=summary.unpaired(written.writers[1], dict(alignment.unpaired_candidate)),
            inputs=fed.fed,
            notes=tuple(dict.fromkeys(self.notes)),
            timing=self.clock.timing(),
            command=self.options.command,
            previews=why.previews,
            dissections=why.dissections,
            weights=why.weights,
            mapping=tuple(spelled(alignment.pairs, self.sides[0].graph, self.sides[1].graph)),
        )

    def _written(self, judged: _Judged) -> _Written:
        """The pairs as the report shows them."""
        measured, floor = judged.measured, judged.floor
        graphs = self.sides[0].graph, self.sides[1].graph
        writers = summary.SideWriter(self.sides[0]), summary.SideWriter(self.sides[1])
        pairs = summary.pairs(writers, measured, judged.judgements)
        if floor is not None:
            pairs = floor.written(measured, pairs)
        hidden = self.observer.hidden(measured, pairs, self.target, self.options.candidate_options)
        for effect in hidden:
            pairs[effect.place] = effect.pair
        reordered = {one.candidate: one.error for one in judged.answers if one.reordered and one.error is not None}
        for place, item in enumerate(measured):
            if item.pair.candidate in reordered:  # the error in that order is the output's
                pairs[place] = replace(pairs[place], accumulated=reordered[item.pair.candidate].errors)
        outputs, missing = _outputs(measured, pairs, graphs[1].outputs)
        held = held_pairs(writers, judged.answers, judged.standings)
        shown = _with_held(outputs, held)
        notes = [
            *summary.unanswered_outputs(graphs, judged.answers),
            *summary.uneven_caches(graphs, judged.answers),
            *summary.reordered_caches(graphs, judged.answers),
            *summary.shared_nonfinite(shown),
        ]
        state = condition(pairs, outputs) if floor is not None and floor.telling else None
        return _Written(writers, pairs, outputs, missing, held, shown, hidden, state, notes)

    def _facts(
        self, passes: Passes, judged: _Judged, written: _Written, coverage: Coverage, fed: PreparedFeeds
    ) -> WholeFacts:
        """What the verdict rests on."""
        sides, graphs = self.sides, (self.sides[0].graph, self.sides[1].graph)
        calm = self._is_calm(passes, judged)
        return WholeFacts(
            [*written.pairs, *written.held],
            written.shown,
            written.missing,
            coverage,
            constant_input=_constant(fed),
            random_input=fed.random,
            quantized=any(region_numbers(graphs, item).quantized for item in judged.measured),
            condition=written.state.reason if written.state is not None else None,
            frozen=frozen_outputs(*sides, passes, judged.measured, judged.judgements),
            flipped=FlippedChoices(self.sides, passes, judged.judging).found(judged.answers) if calm else None,
            unfilled=UnfilledRanges(self.sides, passes).found(judged.answers) if calm else None,
            standings=judged.standings,
            interval=self._interval(judged),
            exchanged=judged.exchanged,
            level=self.options.level,
            unrecorded=[name for side in sides for name in getattr(side.session, "lost", ())],
            colliding=[name for side in sides for name in getattr(side.session, "colliding", ())],
        )

    def _is_calm(self, passes: Passes, judged: _Judged) -> bool:
        """Whether nothing is guilty, and both sides may be run with other numbers."""
        if self.options.level != "local" or self.options.local == "never" or passes.computing != 1:
            return False
        return not judged.judging.fixed and all(one.verdict in {"aligned", "inherited"} for one in judged.judgements)

    def _without_effect(self, passes: Passes, judged: _Judged) -> list[str]:
        """Weights that this input does not reach; those that the rest of their region makes up for are no matter."""
        graphs = self.sides[0].graph, self.sides[1].graph
        with self.clock.phase("weigh"):
            silent = unseen(graphs, _plain(judged.measured, judged.judgements))
            open_ = [value for value in silent if value not in passes.free]
            if open_ and self.options.local != "never" and passes.computing == 1:
                same = same_on_others(graphs, open_, JointRuns(self.sides, passes), self._rules())
                open_ = [value for value in open_ if value not in same]
        words = dict.fromkeys(word for value in open_ for word in silent[value])
        return [f"weights differ without effect on this input, try another: {listing(words)}"] if words else []


def _with_hidden(causes: Sequence[Finding], hidden: Sequence[Hidden]) -> tuple[Finding, ...]:
    """A kernel that is wrong only unobserved leads, and says all that the observer effect alone would say."""
    if not hidden:
        return tuple(causes)
    own = dict.fromkeys(effect.finding for effect in hidden)
    return (*own, *(cause for cause in causes if cause.id != "capture-artefact"))


def _placed(causes: Sequence[Finding], pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    """Each cause with the pair that it speaks of."""
    guilty = [pair for pair in pairs if pair.verdict in GUILTY]
    ids = (next((pair.id for pair in guilty if cause.speaks_of(pair)), None) for cause in causes)
    return tuple(replace(cause, pair=pair) for cause, pair in zip(causes, ids, strict=True))


def _constant(fed: PreparedFeeds) -> bool:
    """Whether no input varies: floats where there are any (masks and token types may well be constant), else all."""
    arrays = [array for array in fed.reference.values() if array.size > 1]
    telling = [array for array in arrays if array.dtype.kind == "f"] or arrays
    return bool(telling) and all(bool((array == array.flat[0]).all()) for array in telling)


def _plain(measured: Sequence[Measured], judgements: Sequence[Judgement]) -> list[Measured]:
    """The pairs of which there is nothing to say."""
    return [m for m, j in zip(measured, judgements, strict=True) if j.verdict == "aligned" and j.note is None]


def _outputs(measured: Sequence[Any], pairs: Sequence[Pair], outputs: Sequence[str]) -> tuple[list[Pair], int]:
    by_value: Mapping[str, Pair] = {item.pair.candidate: pair for item, pair in zip(measured, pairs, strict=True)}
    found = [by_value[value] for value in dict.fromkeys(outputs) if value in by_value]
    return found, len(dict.fromkeys(outputs)) - len(found)


def _with_held(outputs: Sequence[Pair], held: Sequence[Pair]) -> list[Pair]:
    """The output pairs, each that was only held against its namesake in the place of what the pairing said of it."""
    names = {pair.candidate.name for pair in held}
    return [*(pair for pair in outputs if pair.candidate.name not in names), *held]
