"""Which runs measure the pairs of two models: of tensors that are kept, or of one sweep where they outgrow memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Protocol

from aligner.errors import ComparisonError
from aligner.execution import memory
from aligner.execution.clock import Clock
from aligner.execution.injected_run import computing_side
from aligner.execution.lockstep import Lockstep, expected_profile
from aligner.execution.passes import Passes
from aligner.execution.profile import RunningProfile, profile
from aligner.execution.repetition import disturbed
from aligner.execution.side import OpenSide, Sides
from aligner.execution.untouched import Answer, Untouched
from aligner.records.alignment import Alignment
from aligner.records.dataclass import dataclass
from aligner.records.measurement import Measured
from aligner.records.observation import Observations
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.alignment.second_look import SecondLook


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    ``local``: errors on the other's tensors where a side can compute them; "always": it is an error where none can.
    ``budget``: bytes of tensors that may be kept of each model; where it is ``strict`` a single larger one may not.
    ``looks_again``: pairs may be revised by what tensors are on the reference's own.
    """

    local: Literal["auto", "always", "never"]
    atol: float
    rtol: float
    budget: int
    strict: bool
    looks_again: bool


class Align(Protocol):
    """Pairs the two sides' tensors: by the graphs, by what was ``sketched``, by a ``second`` look."""

    def __call__(self, *, sketched: bool = True, second: SecondLook | None = None) -> Alignment: ...


class Schedule:
    """The runs of one comparison: both models untouched, observed, and the candidate on the reference's tensors.

    ``doubtful`` are the measurements that only noise can judge; ``keep`` is handed each side's untouched outputs. What
    a user should know of the runs is in ``notes``, whether they repeat in ``observations``.
    """

    def __init__(
        self,
        sides: Sides,
        plan: Plan,
        clock: Clock,
        align: Align,
        doubtful: Callable[[Sequence[Measured]], list[Measured]],
        keep: Callable[[OpenSide, Sequence[CapturedTensor]], None],
    ) -> None:
        self._sides, self._plan, self._clock = sides, plan, clock
        self._align, self._doubtful, self._keep = align, doubtful, keep
        self.notes: list[str] = []
        self.observations: list[Observations] = []
        self.sweeps = False
        """Whether the tensors of a side, as far as its shapes are known, are too many to keep."""

    @property
    def measures_local(self) -> bool:
        """Whether a side's nodes run on the other's tensors."""
        return self._plan.local != "never" and computing_side(*self._sides) is not None

    def observe(self, untouched: Untouched) -> dict[str, Answer]:
        """What the untouched models answer, and each side's profile where the tensors can be kept.

        A reference that is observed faithfully need not be asked. Large models are not where only the quickest look is
        wanted, and the notes say so.
        """
        self.sweeps = self._outgrow_memory()
        answers: dict[str, Answer] = {}
        for side in self._sides:
            faithful = side is self._sides[0] and side.session.capabilities.observes_faithfully
            if self.sweeps and self._plan.local == "never" and not faithful:
                self.notes.append(
                    f"{side.role}: models of this size are only run observed where local errors are not wanted: what "
                    "its runtime does differently when nobody looks, fusing nodes above all, was not checked"
                )
            elif not faithful:
                answers[side.role] = untouched.of(side)
            if self.sweeps:
                side.forget()
            else:
                running = RunningProfile(side.graph.outputs)
                side.profile = profile(side.first_look(), self._plan.budget, running)
                self._watch(side, answers.get(side.role, running.kept))
        return answers

    def measure(self, answers: Mapping[str, Answer]) -> tuple[Passes, Alignment]:
        """Pairs and errors: from tensors that were kept, or from a sweep and runs for what it has left open."""
        swept = self._swept(answers) if self.sweeps else None
        with self._clock.phase("align"):
            alignment = self._align()
        passes, missing, open_ = self._passes(alignment), None, None
        if swept is not None and swept.as_expected:
            passes = swept.passes
            missing, open_ = passes.revise(alignment.pairs)
        with ExitStack() as stack:
            begun = passes.begin_local() if swept is None and self.measures_local else None
            if begun is not None:
                stack.callback(begun.close)
            with self._clock.phase("accumulated"):
                passes.accumulated(missing)
            with self._clock.phase("local"):
                done = swept is not None and swept.local and open_ == []
                self._local(passes, (lambda: None) if done else lambda: passes.local(begun))
        return passes, alignment

    def looks_again(self, passes: Passes) -> bool:
        """Whether a second look may revise the pairs."""
        return self._plan.looks_again and self.measures_local and passes.computing == 1

    def measure_again(self, passes: Passes, alignment: Alignment) -> None:
        """What changes with other pairs."""
        missing, open_ = passes.revise(alignment.pairs)
        passes.accumulated(missing)
        if open_:
            self._local(passes, lambda: passes.local(wanted=open_))

    def _passes(self, alignment: Alignment) -> Passes:
        return Passes(*self._sides, alignment.pairs, self._plan.atol, self._plan.rtol)

    def _outgrow_memory(self) -> bool:
        expected = [expected_profile(side.graph) for side in self._sides]
        for side, one in zip(self._sides, expected, strict=True):
            side.profile = one
        return all(one is not None for one in expected) and any(
            one.size > self._plan.budget for one in expected if one is not None
        )

    def _swept(self, answers: Mapping[str, Answer]) -> Lockstep:
        """Both models in lockstep, paired by their graphs alone."""
        with self._clock.phase("align"):
            alignment = self._align(sketched=False)
        memory.give_back()
        with self._clock.phase("lockstep"):
            sweep = Lockstep(
                self._passes(alignment),
                *self._sides,
                local=self.measures_local,
                budget=self._plan.budget,
                strict=self._plan.strict,
            )
            sweep.run(alignment.pairs)
        for side, running in zip(self._sides, sweep.profiles, strict=True):
            self._watch(side, answers.get(side.role, running.kept))
        return sweep

    def _watch(self, side: OpenSide, untouched: Sequence[CapturedTensor]) -> None:
        self._keep(side, untouched)
        seen = disturbed(side, untouched)
        self.observations.append(seen)
        self.notes += seen.notes

    def _local(self, passes: Passes, measure: Callable[[], None]) -> None:
        if self._plan.local == "never":
            self.notes.append("local errors were not measured (--local never): locations are estimates")
            return
        computing = passes.computing
        if computing is None:
            if self._plan.local == "always":
                raise ComparisonError(
                    f"local errors cannot be measured between {self._sides[0].path} and {self._sides[1].path}",
                    found="two recordings, into which nothing can be injected",
                    hint="compare with the model itself on one side, name it with --dump-of, or use --local auto",
                )
            self.notes.append("neither side is a model that can run: locations are estimates")
            return
        if computing == 0:
            self.notes.append(
                "the candidate is a recording: local errors are what the reference's nodes give for the recorded "
                "tensors; what was not recorded, the reference computes from the nearest recorded ones"
            )
        from aligner.execution.ties import settle_ties

        measure()
        passes.believe_plain_runs()
        open_ = self._doubtful(list(passes.measured.values()))
        passes.noise(open_)
        settle_ties(self._sides[1].graph, passes, open_)
