"""compare(): open both models, feed them alike, pair their tensors, measure, judge."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aligner.adapters.base import OpenOptions
from aligner.alignment.engine import METHODS, align
from aligner.alignment.mapping import Mapping as UserMapping
from aligner.alignment.mapping import read_mapping, resolve
from aligner.alignment.saved_mapping import spelled
from aligner.api import memory, noise_floor, summary
from aligner.api.dissecting import dissections
from aligner.api.evidence import gather
from aligner.api.fed_values import fed_pairs
from aligner.api.feeding import Feeding
from aligner.api.frozen_noise import frozen_outputs
from aligner.api.given_inputs import input_items
from aligner.api.lockstep import Lockstep, expected_profile
from aligner.api.noise_floor import Floor
from aligner.api.notebook_progress import NotebookProgress
from aligner.api.observer_effect import Hidden, ObserverEffect
from aligner.api.opening import open_side, target_name
from aligner.api.passes import Passes
from aligner.api.previewing import previews
from aligner.api.probing import Alter, Targets, probed
from aligner.api.repetition import unsteady
from aligner.api.result import Result
from aligner.api.side import OpenSide
from aligner.api.untouched import Answer, Untouched
from aligner.api.weighing import tally
from aligner.capture.profile import profile
from aligner.diagnosis.causes import find_causes
from aligner.diagnosis.conclusion import conclude
from aligner.diagnosis.doubt import unseen
from aligner.diagnosis.ill_conditioned import condition
from aligner.diagnosis.tolerance import is_coarse, region_numbers
from aligner.diagnosis.verdicts import Judgement, Rules, doubtful, judge
from aligner.errors import ComparisonError, listing
from aligner.inputs import PreparedFeeds, Preprocessing
from aligner.records import progress
from aligner.records.alignment import Alignment
from aligner.records.comparison import Comparison, Finding, Pair, Tolerance
from aligner.records.measurement import Measured
from aligner.records.tensor import CapturedTensor

_GUILTY = frozenset({"introduced", "nonfinite"})
Local = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Everything a comparison can be told; see ``compare``."""

    atol: float = 1e-5
    rtol: float = 1e-5
    tolerance: float | None = None
    mapping: UserMapping | Path | str | None = None
    align_by: str = "auto"
    local: Local = "auto"
    noise_floor: bool | None = None
    reference_options: OpenOptions = field(default_factory=OpenOptions)
    candidate_options: OpenOptions = field(default_factory=OpenOptions)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seed: int = 0
    memory_limit: int | None = None
    command: str | None = None
    probe: bool = False
    alter: Alter | None = None
    """Changes the feeds before anything runs on them."""


def compare(
    reference: object,
    candidate: object,
    inputs: Any = None,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    tolerance: float | None = None,
    mapping: UserMapping | Path | str | None = None,
    align_by: str = "auto",
    local: Local = "auto",
    reference_weights: Path | str | None = None,
    candidate_weights: Path | str | None = None,
    trust: bool = False,
    evaluation_mode: bool | None = None,
    provider: str | None = None,
    ort_optimization: str | None = None,
    device: str = "cpu",
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    memory_limit: int | None = None,
    probe: bool = False,
    noise_floor: bool | None = None,
) -> Result:
    """Compare two forms of one model, tensor by tensor.

    ``reference`` and ``candidate`` are paths, "file.py:factory" strings or live modules. ``inputs`` is a dict from
    input name to array or path, a single array or path, or a list of them in order; None feeds seeded random numbers.
    ``atol`` and ``rtol`` are the contract for outputs, |c − r| ≤ atol + rtol·|r|; ``tolerance`` replaces the rounding
    bounds of the nodes by one fixed number. ``mapping`` (a file, or pairs of names) overrides the pairing. ``probe``
    compares on further inputs made from the given one (other values, one sample more, another size) as well.
    ``noise_floor`` also runs the reference in float64 and both sides from another seed; None: where the verdict is in
    doubt.

    Raises AlignerError where the two cannot be compared.
    """
    opening = OpenOptions(
        trust=trust,
        evaluation_mode=evaluation_mode,
        provider=provider,
        ort_optimization=ort_optimization,
        device=device,
        memory_limit=memory_limit,
    )
    options = CompareOptions(
        atol=atol,
        rtol=rtol,
        tolerance=tolerance,
        mapping=mapping,
        align_by=align_by,
        local=local,
        noise_floor=noise_floor,
        reference_options=replace(opening, weights=_path(reference_weights)),
        candidate_options=replace(opening, weights=_path(candidate_weights)),
        preprocessing=preprocessing or Preprocessing(),
        seed=seed,
        memory_limit=memory_limit,
        probe=probe,
    )
    with NotebookProgress():
        return Result(run_comparison(reference, candidate, inputs, options))


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


def run_comparison(reference: object, candidate: object, inputs: Any, options: CompareOptions) -> Comparison:
    """The comparison itself; both sessions are closed when it returns."""
    _check(options)
    clock = _Clock()
    sides: list[OpenSide] = []
    try:
        with clock.phase("load"):
            sides.append(open_side("reference", reference, options.reference_options, options.seed))
            sides.append(open_side("candidate", candidate, options.candidate_options, options.seed))
        with memory.settled():
            result = _Comparing(sides[0], sides[1], options, clock, candidate).run(inputs)
    finally:
        _release(sides)
    if options.probe:
        targets = Targets(reference, candidate, (options.reference_options, options.candidate_options), options.seed)
        plain = replace(options, probe=False)
        result = probed(
            result, targets, lambda alter: run_comparison(reference, candidate, inputs, replace(plain, alter=alter))
        )
    progress.enter("", "reporting")
    return result


def _release(sides: list[OpenSide]) -> None:
    """Close the sessions and let their runtimes die now, while a crash can still be told from a finished report."""
    for side in sides:
        progress.enter(side.role, "releasing", side.path)
        side.profile = None
        side.session.close()
    side = None  # type: ignore[assignment]  # the name would keep the last one
    sides.clear()
    gc.collect()


def _check(options: CompareOptions) -> None:
    if options.align_by not in METHODS:
        raise ComparisonError(
            f"there is no alignment method {options.align_by!r}", hint=f"use one of {', '.join(METHODS)}"
        )
    for name, value in (("atol", options.atol), ("rtol", options.rtol), ("tolerance", options.tolerance)):
        if value is not None and not value >= 0:
            raise ComparisonError(f"{name} must be a number ≥ 0", found=str(value), hint="1e-5 is the default")


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def timing(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in self.seconds.items()} | {
            "total": round(time.perf_counter() - self._start, 4)
        }


class _Comparing:
    """The steps of one comparison, in order."""

    def __init__(
        self, reference: OpenSide, candidate: OpenSide, options: CompareOptions, clock: _Clock, candidate_target: object
    ) -> None:
        self._candidate_target = candidate_target
        self._reference, self._candidate = reference, candidate
        self._options, self._clock = options, clock
        self._notes: list[str] = []
        self._observer = ObserverEffect(reference, candidate)

    def run(self, inputs: Any) -> Comparison:
        with self._clock.phase("feed"):
            feeding = self._feeding(inputs)
            fed = feeding.prepared()
        with self._clock.phase("observe"), Untouched() as untouched:
            untouched.begin((self._reference, self._candidate))
            fed = feeding.settled(fed)
            self._notes += [*fed.notes, *fed.warnings]
            large = self._outgrows_memory()
            answers = self._observe(untouched, large=large)
        passes, alignment = self._sweep(fed, answers) if large else self._measured(fed)
        return self._conclude(passes, alignment, fed)

    def _measured(self, fed: PreparedFeeds) -> tuple[Passes, Alignment]:
        """Pairs and errors from tensors that were kept."""
        with self._clock.phase("align"):
            alignment = self._align(fed)
        passes = self._passes(alignment)
        with self._clock.phase("accumulated"):
            passes.accumulated()
        with self._clock.phase("local"):
            self._local(passes, passes.local)
        return passes, alignment

    def _passes(self, alignment: Alignment) -> Passes:
        return Passes(self._reference, self._candidate, alignment.pairs, self._options.atol, self._options.rtol)

    def _outgrows_memory(self) -> bool:
        """Whether the tensors of a side, as far as its shapes are known, are too many to keep; notes what to expect."""
        expected = [expected_profile(side.graph) for side in (self._reference, self._candidate)]
        budget = memory.keep_budget(self._options.memory_limit) // 2
        self._reference.profile, self._candidate.profile = expected
        return all(one is not None for one in expected) and any(one.size > budget for one in expected if one)

    def _sweep(self, fed: PreparedFeeds, answers: Mapping[str, Answer]) -> tuple[Passes, Alignment]:
        """Both models in lockstep; whatever the sketches change about the pairs is measured by further runs."""
        with self._clock.phase("align"):
            alignment = self._align(fed, sketched=False)
        memory.give_back()
        passes = self._passes(alignment)
        session = self._candidate.session
        local = self._options.local != "never" and session.can_inject and session.runs_concurrently
        with self._clock.phase("lockstep"):
            limit = self._options.memory_limit
            budget, sides = memory.keep_budget(limit) // 2, (self._reference, self._candidate)
            sweep = Lockstep(passes, *sides, local=local, budget=budget, strict=limit is not None)
            as_expected = sweep.run(alignment.pairs)
        for side, survey in zip((self._reference, self._candidate), sweep.surveys, strict=True):
            self._watch_observer(side, answers.get(side.role, survey.kept))
        with self._clock.phase("align"):
            alignment = self._align(fed)
        if not as_expected:
            passes = self._passes(alignment)
        missing, others = passes.revise(alignment.pairs)
        with self._clock.phase("accumulated"):
            passes.accumulated(missing) if as_expected else passes.accumulated()
        with self._clock.phase("local"):
            done = local and as_expected and not others
            self._local(passes, (lambda: None) if done else passes.local)
        return passes, alignment

    def _watch_observer(self, side: OpenSide, untouched: Sequence[CapturedTensor]) -> None:
        self._observer.keep(side, untouched)
        assert side.profile is not None
        note = memory.observer_effect(side.role, untouched, side.profile.sketches, side.graph)
        if note:
            self._notes += [note, *unsteady(side)]

    def _feeding(self, inputs: Any) -> Feeding:
        given, options = input_items(inputs), self._options
        sides = self._reference, self._candidate
        return Feeding(sides, given, options.preprocessing, options.seed, options.alter)

    def _observe(self, untouched: Untouched, *, large: bool) -> dict[str, Answer]:
        """What the untouched models answer, and each side's profile where the tensors can be kept.

        Of a large model a reference that is observed faithfully need not be asked.
        """
        budget = memory.keep_budget(self._options.memory_limit) // 2
        answers: dict[str, Answer] = {}
        for side in (self._reference, self._candidate):
            if large and side is self._reference and side.session.observes_faithfully:
                continue
            answers[side.role] = untouched.of(side)
            if not large:
                side.profile = profile(side.run(None), budget)
                self._watch_observer(side, answers[side.role])
        return answers

    def _align(self, fed: PreparedFeeds, *, sketched: bool = True) -> Alignment:
        progress.enter("", "pairing tensors")
        left, right = self._reference, self._candidate
        assert left.profile is not None and right.profile is not None
        mapping = self._options.mapping
        if isinstance(mapping, (str, Path)):
            mapping = read_mapping(Path(mapping))
        alignment = align(
            left.graph,
            right.graph,
            reference_sketches=left.profile.sketches if sketched else None,
            candidate_sketches=right.profile.sketches if sketched else None,
            inputs=fed_pairs(fed, left, right),
            mapping=resolve(mapping or (), left.graph, right.graph),
            method=self._options.align_by,
        )
        if sketched:
            self._notes += alignment.notes
        return alignment

    def _local(self, passes: Passes, measure: Callable[[], None]) -> None:
        session = self._candidate.session
        if self._options.local == "never":
            self._notes.append("local errors were not measured (--local never): locations are estimates")
            return
        if not session.can_inject:
            if self._options.local == "always":
                raise ComparisonError(
                    f"local errors cannot be measured on {self._candidate.path}",
                    found=f"a {session.framework}, into which nothing can be injected",
                    hint="compare with the model itself as candidate, or use --local auto",
                )
            self._notes.append("nothing can be injected into the candidate: locations are estimates")
            return
        measure()
        graphs = self._reference.graph, self._candidate.graph
        passes.noise(doubtful(graphs, list(passes.measured.values())))

    def _floor(
        self, passes: Passes, measured: list[Measured], judgements: list[Judgement], coarse: bool
    ) -> Floor | None:
        """Both sides from another seed, the reference in float64: asked for, or needed to judge."""
        outputs, asked = self._candidate.graph.outputs, self._options.noise_floor
        if self._options.tolerance is not None or coarse:
            asked = bool(asked)
        if not noise_floor.is_wanted(asked, measured, judgements, outputs):
            return None
        with self._clock.phase("noise floor"):
            floor = noise_floor.measure(self._reference, self._candidate, passes, measured, judgements)
            floor.telling = not coarse
        self._notes += floor.notes
        return floor

    def _conclude(self, passes: Passes, alignment: Alignment, fed: PreparedFeeds) -> Comparison:
        graphs = self._reference.graph, self._candidate.graph
        measured = list(passes.measured.values())
        rules = Rules(self._options.atol, self._options.rtol, self._options.tolerance)
        with self._clock.phase("judge"):
            judgements = judge(graphs, measured, rules)
            first = next((m for m, j in zip(measured, judgements, strict=True) if j.verdict in _GUILTY), None)
            if first is not None:
                passes.count_unique(first.pair.candidate)
                measured = list(passes.measured.values())
        quantized = any(region_numbers(graphs, item).quantized for item in measured)
        floor = self._floor(passes, measured, judgements, quantized or any(map(is_coarse, graphs)))
        if floor is not None and (floor.excuses() or floor.unsteady):
            judgements = judge(graphs, measured, replace(rules, unsteady=floor.unsteady), floor.excuses())
        writers = summary.SideWriter(self._reference), summary.SideWriter(self._candidate)
        pairs = summary.pairs(writers, measured, judgements)
        if floor is not None:
            pairs = floor.written(measured, pairs)
        hidden = self._observer.hidden(measured, pairs, self._candidate_target, self._options.candidate_options)
        for effect in hidden:
            pairs[effect.place] = effect.pair
        outputs, missing = _outputs(measured, pairs, graphs[1].outputs)
        self._notes += [*summary.unanswered_outputs(graphs, alignment), *summary.shared_nonfinite(outputs)]
        coverage = summary.coverage(alignment)
        state = condition(pairs, outputs) if floor is not None and floor.telling else None
        conclusion = conclude(
            pairs,
            outputs,
            missing,
            coverage,
            constant_input=_constant(fed),
            random_input=fed.random,
            quantized=quantized,
            condition=state.reason if state is not None else None,
            frozen=frozen_outputs(self._reference, self._candidate, passes, measured, judgements),
        )
        if conclusion.verdict == "aligned" and (hidden_weights := unseen(graphs, _plain(measured, judgements))):
            self._notes.append(f"weights differ without effect on this input, try another: {listing(hidden_weights)}")
        with self._clock.phase("diagnose"):
            progress.enter("", "looking for causes")
            guilty = [
                (item, judgement)
                for item, judgement in zip(measured, judgements, strict=True)
                if judgement.verdict in _GUILTY
            ]
            culprits = [item for item, _ in guilty]
            evidence = gather(self._reference, self._candidate, passes, culprits) if culprits else {}
            causes = find_causes(
                graphs,
                culprits,
                evidence,
                measured=measured,
                verdicts={m.pair.candidate: j.verdict for m, j in zip(measured, judgements, strict=True)},
                notes=[*self._notes, *self._reference.session.notes, *self._candidate.session.notes],
            )
        with self._clock.phase("weigh"):
            weights = None
            if conclusion.verdict == "diverged":
                weights = tally((self._reference, self._candidate), alignment)
        with self._clock.phase("draw"):
            places = {place: item for place, item in enumerate(measured) if judgements[place].verdict in _GUILTY}
            parts = dissections(graphs, places, evidence) if conclusion.verdict == "diverged" else ()
            pictures = previews(passes, pairs, outputs, graphs[0].channels) if conclusion.verdict == "diverged" else ()
        tolerance = Tolerance(
            atol=self._options.atol,
            rtol=self._options.rtol,
            rule="rounding bounds by node" if rules.fixed is None else f"fixed {rules.fixed:g} at every node",
        )
        return Comparison(
            verdict=conclusion.verdict,
            reason=conclusion.reason,
            reference=self._reference.summary(),
            candidate=self._candidate.summary(),
            tolerance=tolerance,
            coverage=coverage,
            first_divergence=conclusion.introduced[0] if conclusion.introduced else None,
            introduced=conclusion.introduced,
            causes=_with_hidden([*causes, *([state.finding] if state is not None and state.finding else [])], hidden),
            outputs=tuple(outputs),
            pairs=tuple(pairs),
            unpaired_reference=summary.unpaired(writers[0], dict(alignment.unpaired_reference)),
            unpaired_candidate=summary.unpaired(writers[1], dict(alignment.unpaired_candidate)),
            inputs=fed.fed,
            notes=tuple(dict.fromkeys(self._notes)),
            timing=self._clock.timing(),
            command=self._options.command,
            previews=pictures,
            dissections=parts,
            weights=weights,
            mapping=tuple(spelled(alignment.pairs, *graphs)),
        )


def _with_hidden(causes: Sequence[Finding], hidden: Sequence[Hidden]) -> tuple[Finding, ...]:
    """A kernel that is wrong only unobserved leads, and says all that the observer effect alone would say."""
    if not hidden:
        return tuple(causes)
    own = [effect.finding for effect in hidden]
    return (*own, *(cause for cause in causes if cause.id != "capture-artefact"))


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


__all__ = ["CompareOptions", "compare", "run_comparison", "target_name"]
