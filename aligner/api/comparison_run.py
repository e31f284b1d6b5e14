"""The steps of one comparison: feed both sides, observe, pair, measure, look again, conclude.

What pairs, judges and concludes is imported where it is needed: the command's own thread imports it while models run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aligner.adapters.base import FirstLook
from aligner.api.dumped import check_input, check_random, known_by_statistics
from aligner.api.feeding import Feeding
from aligner.api.given_inputs import input_items
from aligner.api.observer_effect import ObserverEffect
from aligner.api.options import CompareOptions
from aligner.api.unrolling import unroll
from aligner.execution import memory
from aligner.execution.clock import Clock
from aligner.execution.passes import Passes
from aligner.execution.schedule import Plan, Schedule
from aligner.execution.side import OpenSide
from aligner.execution.untouched import Untouched
from aligner.inputs import PreparedFeeds
from aligner.records.alignment import Alignment
from aligner.records.array import Array
from aligner.records.axis_order import to_reference
from aligner.records.comparison import Comparison
from aligner.records.measurement import Measured

if TYPE_CHECKING:
    from aligner.alignment.second_look import SecondLook


class ComparisonRun:
    """The steps of one comparison, in order."""

    def __init__(
        self, reference: OpenSide, candidate: OpenSide, options: CompareOptions, clock: Clock, candidate_target: object
    ) -> None:
        self._candidate_target = candidate_target
        self._sides = reference, candidate
        self._options, self._clock = options, clock
        self._budget = memory.keep_budget(options.memory_limit)
        self._observer = ObserverEffect(reference, candidate)
        self.done: Passes | None = None
        """The measurements, once they are made."""

    def outputs(self) -> Iterator[tuple[str, Array, Array]]:
        """The outputs that answer each other, untouched, by the candidate's names; its own in the reference's order
        where their shapes allow it."""
        if self.done is None:  # nothing was run
            return
        from aligner.execution.output_answers import output_answers

        kept, tolerance = self._observer.kept, (self._options.atol, self._options.rtol)
        answers = output_answers(self._sides, list(self.done.measured.values()), kept, tolerance, self._options.caches)
        values, told = self._sides[1].graph.values, set[str]()
        for answer in answers:
            value = answer.candidate
            if value is None or value in told or value not in kept[1] or answer.reference not in kept[0]:
                continue
            told.add(value)
            expected, found = kept[0][answer.reference].real(), kept[1][value].real()
            moved = to_reference(found, answer.axes, tuple(expected.shape))
            yield values[value].name if value in values else value, expected, found if moved is None else moved

    def run(self, inputs: Any) -> Comparison:
        with self._clock.phase("feed"):
            feeding = self._feeding(inputs)
            fed = feeding.prepared()
            check_random(fed, self._sides)
            for side in self._sides:
                side.look = FirstLook(self._budget, may_rehearse=self._options.rehearse)
        with self._clock.phase("observe"), Untouched() as untouched:
            if self._options.local != "never":  # else it depends on their size whether they run
                untouched.begin(self._sides)
            fed = feeding.settled(fed)
            unroll(self._sides)
            schedule = self._schedule(fed)
            schedule.notes += [*check_input(self._sides), *fed.notes, *fed.warnings]
            told = known_by_statistics(self._sides)
            if told is not None:
                return self._by_statistics(fed, told, schedule.notes)
            answers = schedule.observe(untouched)
        self.done, alignment = schedule.measure(answers)
        alignment = self._again(schedule, self.done, alignment, fed)
        from aligner.api.concluding import Concluding

        reference = self._sides[0]
        writing = Concluding(
            self._sides,
            self._options,
            self._clock,
            self._observer,
            schedule.notes,
            self._candidate_target,
            schedule.observations,
            unasked=None if schedule.sweeps or reference.role in answers else reference,
        )
        return writing.comparison(self.done, alignment, fed)

    def _schedule(self, fed: PreparedFeeds) -> Schedule:
        options, graphs = self._options, (self._sides[0].graph, self._sides[1].graph)
        plan = Plan(
            options.local,
            options.atol,
            options.rtol,
            self._budget,
            strict=options.memory_limit is not None,
            looks_again=options.align_by == "auto",
        )

        def align(*, sketched: bool = True, second: SecondLook | None = None) -> Alignment:
            from aligner.api.matching import aligned

            alignment = aligned(self._sides, fed, options, sketched=sketched, second=second)
            if sketched and second is None:
                schedule.notes += alignment.notes
            return alignment

        def doubtful(measured: Sequence[Measured]) -> list[Measured]:
            from aligner.judgement import verdicts

            return verdicts.doubtful(graphs, measured)

        schedule = Schedule(self._sides, plan, self._clock, align, doubtful, self._observer.keep)
        return schedule

    def _by_statistics(self, fed: PreparedFeeds, told: int, notes: list[str]) -> Comparison:
        from aligner.api.matching import aligned
        from aligner.api.statistics_only import StatisticsComparison

        alignment = aligned(self._sides, fed, self._options, sketched=False)
        comparing = StatisticsComparison(self._sides, told, self._options, self._clock)
        return comparing.comparison(alignment, fed, [*notes, *alignment.notes])

    def _again(self, schedule: Schedule, passes: Passes, alignment: Alignment, fed: PreparedFeeds) -> Alignment:
        """The pairs after further looks at the candidate's tensors on the reference's."""
        if not schedule.looks_again(passes):
            return alignment
        from aligner.api.matching import aligned
        from aligner.api.second_look import second_look

        with self._clock.phase("second look"):
            return second_look(
                self._sides,
                passes,
                alignment,
                lambda seen: aligned(self._sides, fed, self._options, second=seen),
                lambda again: schedule.measure_again(passes, again),
            )

    def _feeding(self, inputs: Any) -> Feeding:
        options = self._options
        if isinstance(inputs, PreparedFeeds):
            return Feeding(self._sides, (), options.preprocessing, options.seed, options.alter, inputs)
        return Feeding(self._sides, input_items(inputs), options.preprocessing, options.seed, options.alter)
