"""The steps of one comparison: feed both sides, observe, pair, measure, look again, conclude."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from aligner.adapters.base import FirstLook
from aligner.alignment.second_look import SecondLook
from aligner.api.concluding import Concluding
from aligner.api.dumped import check_input, check_random, known_by_statistics
from aligner.api.feeding import Feeding
from aligner.api.given_inputs import input_items
from aligner.api.matching import aligned
from aligner.api.observer_effect import ObserverEffect
from aligner.api.options import CompareOptions
from aligner.api.second_look import second_look
from aligner.errors import ComparisonError
from aligner.execution import memory
from aligner.execution.clock import Clock
from aligner.execution.injected_run import computing_side
from aligner.execution.lockstep import Lockstep, expected_profile
from aligner.execution.passes import Passes
from aligner.execution.profile import Survey, profile
from aligner.execution.repetition import disturbed
from aligner.execution.side import OpenSide
from aligner.execution.ties import settle_ties
from aligner.execution.untouched import Answer, Untouched
from aligner.inputs import PreparedFeeds
from aligner.judgement.verdicts import doubtful
from aligner.records.alignment import Alignment
from aligner.records.comparison import Comparison
from aligner.records.observation import Observations
from aligner.records.tensor import CapturedTensor


class ComparisonRun:
    """The steps of one comparison, in order."""

    def __init__(
        self, reference: OpenSide, candidate: OpenSide, options: CompareOptions, clock: Clock, candidate_target: object
    ) -> None:
        self._candidate_target = candidate_target
        self._reference, self._candidate = reference, candidate
        self._options, self._clock = options, clock
        self._budget = memory.keep_budget(options.memory_limit)
        self._notes: list[str] = []
        self._observer = ObserverEffect(reference, candidate)
        self._observations = Observations()
        self.done: Passes | None = None
        """The measurements, once they are made."""

    def outputs(self) -> Iterator[tuple[str, Any, Any]]:
        """The paired outputs as both models computed them, by the candidate's names."""
        assert self.done is not None
        wanted = [value for value in dict.fromkeys(self._candidate.graph.outputs) if value in self.done.computed()]
        yield from self.done.tensors(wanted, local=False)

    def run(self, inputs: Any) -> Comparison:
        with self._clock.phase("feed"):
            feeding = self._feeding(inputs)
            fed = feeding.prepared()
            check_random(fed, (self._reference, self._candidate))
            for side in (self._reference, self._candidate):
                side.look = FirstLook(self._budget, may_rehearse=self._options.rehearse)
        with self._clock.phase("observe"), Untouched() as untouched:
            if self._options.local != "never":  # else it depends on their size whether they run
                untouched.begin((self._reference, self._candidate))
            fed = feeding.settled(fed)
            self._notes += check_input((self._reference, self._candidate))
            self._notes += [*fed.notes, *fed.warnings]
            told = known_by_statistics((self._reference, self._candidate))
            if told is not None:
                return self._by_statistics(fed, told)
            large = self._outgrows_memory()
            answers = self._observe(untouched, large=large)
        passes, alignment = self._measured(fed, self._swept(fed, answers) if large else None)
        self.done = passes
        sides = self._reference, self._candidate
        unasked = None if large or self._reference.role in answers else self._reference
        writing = Concluding(
            sides,
            self._options,
            self._clock,
            self._observer,
            self._notes,
            self._candidate_target,
            self._observations,
            unasked,
        )
        return writing.comparison(passes, alignment, fed)

    def _by_statistics(self, fed: PreparedFeeds, told: int) -> Comparison:
        from aligner.api.statistics_only import StatisticsComparison

        sides = self._reference, self._candidate
        alignment = aligned(sides, fed, self._options, sketched=False)
        notes = [*self._notes, *alignment.notes]
        return StatisticsComparison(sides, told, self._options, self._clock).comparison(alignment, fed, notes)

    def _measured(self, fed: PreparedFeeds, swept: Lockstep | None) -> tuple[Passes, Alignment]:
        """Pairs and errors: from tensors that were kept, or from a sweep and runs for what it has left open."""
        with self._clock.phase("align"):
            alignment = self._align(fed)
        passes, missing, open_ = self._passes(alignment), None, None
        if swept is not None and swept.as_expected:
            passes = swept.passes
            missing, open_ = passes.revise(alignment.pairs)
        with ExitStack() as stack:
            begun = passes.begin_local() if swept is None and self._measures_local() else None
            if begun is not None:
                stack.callback(begun.close)
            with self._clock.phase("accumulated"):
                passes.accumulated(missing)
            with self._clock.phase("local"):
                done = swept is not None and swept.local and open_ == []
                self._local(passes, (lambda: None) if done else lambda: passes.local(begun))
        return passes, self._again(passes, alignment, fed)

    def _again(self, passes: Passes, alignment: Alignment, fed: PreparedFeeds) -> Alignment:
        """The pairs after further looks at the candidate's tensors on the reference's."""
        if not self._measures_local() or passes.computing != 1 or self._options.align_by != "auto":
            return alignment
        with self._clock.phase("second look"):
            return second_look(
                (self._reference, self._candidate),
                passes,
                alignment,
                lambda seen: self._align(fed, second=seen),
                lambda again: self._measure_again(passes, again),
            )

    def _measure_again(self, passes: Passes, alignment: Alignment) -> None:
        missing, open_ = passes.revise(alignment.pairs)
        passes.accumulated(missing)
        if open_:
            self._local(passes, lambda: passes.local(wanted=open_))

    def _measures_local(self) -> bool:
        return self._options.local != "never" and computing_side(self._reference, self._candidate) is not None

    def _passes(self, alignment: Alignment) -> Passes:
        return Passes(self._reference, self._candidate, alignment.pairs, self._options.atol, self._options.rtol)

    def _outgrows_memory(self) -> bool:
        """Whether the tensors of a side, as far as its shapes are known, are too many to keep; notes what to expect."""
        expected = [expected_profile(side.graph) for side in (self._reference, self._candidate)]
        self._reference.profile, self._candidate.profile = expected
        return all(one is not None for one in expected) and any(one.size > self._budget for one in expected if one)

    def _swept(self, fed: PreparedFeeds, answers: Mapping[str, Answer]) -> Lockstep:
        """Both models in lockstep, paired by their graphs alone."""
        with self._clock.phase("align"):
            alignment = self._align(fed, sketched=False)
        memory.give_back()
        sides, strict = (self._reference, self._candidate), self._options.memory_limit is not None
        with self._clock.phase("lockstep"):
            passes, local = self._passes(alignment), self._measures_local()
            sweep = Lockstep(passes, *sides, local=local, budget=self._budget, strict=strict)
            sweep.run(alignment.pairs)
        for side, survey in zip(sides, sweep.surveys, strict=True):
            self._watch_observer(side, answers.get(side.role, survey.kept))
        return sweep

    def _watch_observer(self, side: OpenSide, untouched: Sequence[CapturedTensor]) -> None:
        self._observer.keep(side, untouched)
        seen = disturbed(side, untouched)
        self._observations.add(seen)
        self._notes += seen.notes

    def _feeding(self, inputs: Any) -> Feeding:
        options, sides = self._options, (self._reference, self._candidate)
        if isinstance(inputs, PreparedFeeds):
            return Feeding(sides, (), options.preprocessing, options.seed, options.alter, inputs)
        return Feeding(sides, input_items(inputs), options.preprocessing, options.seed, options.alter)

    def _observe(self, untouched: Untouched, *, large: bool) -> dict[str, Answer]:
        """What the untouched models answer, and each side's profile where the tensors can be kept.

        A reference that is observed faithfully need not be asked. Large models are not where only the quickest look is
        wanted, and the report says so.
        """
        answers: dict[str, Answer] = {}
        for side in (self._reference, self._candidate):
            faithful = side is self._reference and side.session.capabilities.observes_faithfully
            if large and self._options.local == "never" and not faithful:
                self._notes.append(
                    f"{side.role}: models of this size are only run observed where local errors are not wanted: what "
                    "its runtime does differently when nobody looks, fusing nodes above all, was not checked"
                )
            elif not faithful:
                answers[side.role] = untouched.of(side)
            if large:
                side.forget()
            else:
                survey = Survey(side.graph.outputs)
                side.profile = profile(side.first_look(), self._budget, survey)
                self._watch_observer(side, answers.get(side.role, survey.kept))
        return answers

    def _align(self, fed: PreparedFeeds, *, sketched: bool = True, second: SecondLook | None = None) -> Alignment:
        sides = self._reference, self._candidate
        alignment = aligned(sides, fed, self._options, sketched=sketched, second=second)
        if sketched and second is None:
            self._notes += alignment.notes
        return alignment

    def _local(self, passes: Passes, measure: Callable[[], None]) -> None:
        if self._options.local == "never":
            self._notes.append("local errors were not measured (--local never): locations are estimates")
            return
        computing = passes.computing
        if computing is None:
            if self._options.local == "always":
                raise ComparisonError(
                    f"local errors cannot be measured between {self._reference.path} and {self._candidate.path}",
                    found="two recordings, into which nothing can be injected",
                    hint="compare with the model itself on one side, name it with --dump-of, or use --local auto",
                )
            self._notes.append("neither side is a model that can run: locations are estimates")
            return
        if computing == 0:
            self._notes.append(
                "the candidate is a recording: local errors are what the reference's nodes give for the recorded "
                "tensors; what was not recorded, the reference computes from the nearest recorded ones"
            )
        measure()
        passes.believe_plain_runs()
        graphs = self._reference.graph, self._candidate.graph
        open_ = doubtful(graphs, list(passes.measured.values()))
        passes.noise(open_)
        settle_ties(graphs[1], passes, open_)
