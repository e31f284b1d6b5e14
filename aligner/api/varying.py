"""vary(): a model against itself under each switch of its runtime; which setting changes it, at which node."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from aligner.adapters.base import Session, TakesSteps, Varies, Widens
from aligner.api.comparison_run import ComparisonRun
from aligner.api.feeding import Feeding
from aligner.api.given_inputs import input_items, read_items
from aligner.api.options import CompareOptions, check
from aligner.errors import AlignerError, ComparisonError, listing
from aligner.execution import memory
from aligner.execution.clock import Clock
from aligner.execution.determinism import undisturbed
from aligner.execution.one_of_batch import OneOfBatch
from aligner.execution.opening import open_side, side_info
from aligner.execution.repetition import unseeded, varying_nodes
from aligner.execution.side import OpenSide
from aligner.inputs import PreparedFeeds
from aligner.records import progress
from aligner.records.array import Array
from aligner.records.comparison import Comparison, Finding, Pair, Tolerance
from aligner.records.dataclass import dataclass
from aligner.records.tensor import CapturedTensor
from aligner.records.variation import Variation, Variations

SWITCHES = ("provider", "optimization", "precision", "threads", "batch", "runs")
_DECLARED, _WIDE, _ALONE, _MORE, _FIRST, _AGAIN, _RESEEDED = (
    "as declared",
    "float64",
    "as given",
    "one sample more",
    "once",
    "again",
    "another seed",
)
_GUILTY = ("introduced", "nonfinite", "nondeterministic")


@dataclass(frozen=True, slots=True)
class _Switch:
    """``settings`` in order, the plainest first; ``make`` opens the model under one of them."""

    name: str
    settings: tuple[str, ...]
    make: Callable[[str], OpenSide]


@undisturbed()
def vary(
    model: object,
    inputs: Any = None,
    *,
    over: Sequence[str] | str = SWITCHES,
    options: CompareOptions | None = None,
) -> Variations:
    """Compare a model with itself under every setting of the switches ``over``.

    Each setting is held against the plainest one of its switch: optimisations off, one thread, the declared precision.
    Settings that give the same bits are not looked into. Raises ComparisonError for switches that do not exist, and
    where the model has none of those asked for.
    """
    names = _asked(over)
    options = options or CompareOptions()
    check(options)
    with memory.settled(), closing(_Varying(model, read_items(inputs), options)) as work:
        return work.over(names)


def _asked(over: Sequence[str] | str) -> list[str]:
    words = over.split(",") if isinstance(over, str) else over
    names = list(dict.fromkeys(word.strip() for word in words if word.strip()))
    unknown = [name for name in names if name not in SWITCHES]
    if unknown or not names:
        raise ComparisonError(
            f"there is no switch {listing(unknown)}" if unknown else "there is nothing to vary",
            found=listing(unknown) or "an empty list",
            hint=f"--over takes some of {','.join(SWITCHES)}",
        )
    return names


class _Varying:
    """The model, opened as it is, and what its settings are held against."""

    def __init__(self, model: object, inputs: Any, options: CompareOptions) -> None:
        self._model, self._inputs, self._options = model, inputs, options
        self._base = open_side("model", model, options.reference_options, options.seed)
        try:
            self._fed = self._feed()
        except BaseException:
            self._base.close()
            raise

    def close(self) -> None:
        self._base.close()

    def _feed(self) -> PreparedFeeds:
        sides = self._base, replace(self._base)
        feeding = Feeding(sides, input_items(self._inputs), self._options.preprocessing, self._options.seed)
        return feeding.settled(feeding.prepared())

    def over(self, names: Sequence[str]) -> Variations:
        """The settings of these switches, one after another."""
        known, notes = self._switches(), []
        for name in names:
            if name not in known:
                why = ": no input has a batch of open size" if name == "batch" else ""
                notes.append(f"there is no switch {name!r} for this {self._base.session.framework} model{why}")
        if not known.keys() & set(names):
            raise ComparisonError(
                f"{self._base.path} cannot be varied over {listing(names)}",
                found="; ".join(notes),
                hint=f"it can be over {','.join(known) or 'nothing: it is a recording'}",
            )
        found = [one for name in names if name in known for one in self._along(known[name])]
        summary = replace(self._base.summary(), notes=())
        limits = Tolerance(self._options.atol, self._options.rtol, "")
        return Variations(summary, limits, tuple(found), tuple(notes))

    def _switches(self) -> Mapping[str, _Switch]:
        session = self._base.session
        found: dict[str, _Switch] = {}
        if isinstance(session, Varies):
            for name, settings in session.switches().items():
                found[name] = _Switch(name, tuple(settings), partial(self._switched, name))
        if isinstance(session, Widens):
            own = found.get("precision", _Switch("precision", (_DECLARED,), self._as_declared))
            found["precision"] = replace(own, settings=(*own.settings, _WIDE), make=partial(self._widened, own.make))
        if session.capabilities.can_inject:
            found["runs"] = _Switch("runs", (_FIRST, _AGAIN, _RESEEDED), self._repeated)
        if session.capabilities.can_inject and self._one_more() is not None:
            found["batch"] = _Switch("batch", (_ALONE, _MORE), self._batched)
        return {name: switch for name, switch in found.items() if len(switch.settings) > 1}

    def _along(self, switch: _Switch) -> Iterator[Variation]:
        plain = switch.settings[0]
        with self._opened(switch, plain) as reference:
            for setting in switch.settings[1:]:
                progress.enter("", f"{switch.name}: {setting}", self._base.path)
                blank = Variation(switch.name, setting, plain, "failed", "")
                try:
                    with self._opened(switch, setting) as candidate:
                        yield self._compared(blank, reference, candidate)
                except AlignerError as error:
                    yield replace(blank, reason=f"{error.what}: {error.found}" if error.found else error.what)

    @contextmanager
    def _opened(self, switch: _Switch, setting: str) -> Iterator[OpenSide]:
        side = switch.make(setting)
        side.feeds = dict(self._fed.reference)
        try:
            yield side
        finally:
            side.close()

    def _compared(self, blank: Variation, reference: OpenSide, candidate: OpenSide) -> Variation:
        answers = reference.predict(), candidate.predict()
        drawn = blank.setting == _RESEEDED and any(map(unseeded, reference.graph.nodes))
        if _same(*answers) and not drawn:
            return replace(blank, outcome="same", reason="the outputs are the same, bit for bit", error=0.0)
        explain = blank.switch not in ("batch", "runs")  # what was computed is the same: there is no cause in the node
        options = replace(self._options, noise_floor=self._options.noise_floor or False, explain=explain)
        reference, candidate = replace(reference, role="reference"), replace(candidate, role="candidate")
        run = ComparisonRun(reference, candidate, options, Clock(), self._model)
        comparison = run.run(self._inputs)
        found = replace(
            blank,
            outcome=comparison.verdict,
            reason=comparison.reason,
            error=_apart(*answers),
            first_divergence=_first(comparison),
            causes=comparison.causes,
            notes=comparison.notes,
        )
        if blank.switch == "batch" and comparison.verdict == "diverged":
            found = replace(found, reason=f"{comparison.reason}: what it gives for a sample depends on those beside it")
        if blank.setting == _RESEEDED:
            return _drawn(found, reference, comparison)
        if comparison.verdict == "diverged" and isinstance(candidate.session, TakesSteps):
            return _with_steps(found, _blamed(answers, candidate))
        return found

    def _side(self, setting: str, session: Session, seed: int | None = None) -> OpenSide:
        path, seed = f"{self._base.path} ({setting})", self._options.seed if seed is None else seed
        return OpenSide(role="model", path=path, session=session, seed=seed)

    def _anew(self) -> Session:
        return open_side("model", self._model, self._options.reference_options, self._options.seed).session

    def _switched(self, name: str, setting: str) -> OpenSide:
        session = self._base.session
        assert isinstance(session, Varies)
        return self._side(f"{name} {setting}", session.switched(name, setting))

    def _as_declared(self, setting: str) -> OpenSide:
        return self._side(setting, self._anew())

    def _widened(self, make: Callable[[str], OpenSide], setting: str) -> OpenSide:
        session = self._base.session
        return (
            self._side(_WIDE, session.in_float64())
            if setting == _WIDE and isinstance(session, Widens)
            else make(setting)
        )

    def _repeated(self, setting: str) -> OpenSide:
        return self._side(setting, self._anew(), self._options.seed + (setting == _RESEEDED))

    def _batched(self, setting: str) -> OpenSide:
        more = self._one_more()
        if setting == _ALONE or more is None:
            return self._side(setting, self._anew())
        return self._side(setting, OneOfBatch(self._anew(), self._fed.reference, more))

    def _one_more(self) -> Mapping[str, Array] | None:
        """One sample with other values, for every input that has a batch; None where the model has none."""
        from aligner.inputs.variation import varied

        info = side_info(self._base)
        fed = varied(self._fed, "batch", info, info)
        if fed is None:
            return None
        own = self._fed.reference
        return {k: array[own[k].shape[0] :] for k, array in fed.reference.items() if array.shape != own[k].shape}


def _drawn(found: Variation, side: OpenSide, comparison: Comparison) -> Variation:
    """Numbers that another seed changes are drawn by nodes, which no error of theirs shows."""
    nodes = varying_nodes(side)
    if not nodes:
        return found
    told = listing(f"{node.name} ({node.op})" for node in nodes)
    first = next((pair for pair in comparison.pairs if pair.reference.node == nodes[0].name), None)
    reason = f"the outputs are drawn anew by every run that sets no seed, from {told} on"
    return replace(found, outcome="diverged", reason=reason, first_divergence=first, causes=(), notes=())


def _with_steps(found: Variation, steps: tuple[str, ...]) -> Variation:
    """What is proven stands before what was found by looking at the node."""
    if not steps:
        return found
    first, known = found.first_divergence, tuple(cause for cause in found.causes if cause.id != "unknown")
    cause = Finding.of(
        identifier="fusion-or-kernel",
        node=first.candidate.node if first is not None else "",
        evidence_class="proven",
        evidence=f"without {listing(steps)} the outputs are right, and with any of these put back they are not",
        suggestion=f"leave {listing(steps)} out, and report it with this model",
    )
    return replace(found, steps=steps, causes=(cause, *known))


def _first(comparison: Comparison) -> Pair | None:
    """The first pair that errs by itself, or changes from run to run."""
    random = (pair for pair in comparison.pairs if pair.verdict in _GUILTY)
    return comparison.first_divergence or next(random, None)


def _apart(one: Sequence[CapturedTensor], other: Sequence[CapturedTensor]) -> float | None:
    """The largest difference of the untouched runs' outputs: compiled code shows in no observed one."""
    pairs = [(a.real().astype(np.float64), b.real().astype(np.float64)) for a, b in zip(one, other, strict=False)]
    if len(one) != len(other) or any(a.shape != b.shape for a, b in pairs):
        return None
    with np.errstate(invalid="ignore"):
        return max((float(np.where(a == b, 0.0, np.abs(a - b)).max(initial=0.0)) for a, b in pairs), default=None)


def _same(one: Sequence[CapturedTensor], other: Sequence[CapturedTensor]) -> bool:
    return len(one) == len(other) and all(
        a.array.dtype == b.array.dtype and a.array.shape == b.array.shape and a.array.tobytes() == b.array.tobytes()
        for a, b in zip(one, other, strict=True)
    )


def _blamed(answers: tuple[Sequence[CapturedTensor], Sequence[CapturedTensor]], candidate: OpenSide) -> tuple[str, ...]:
    """The steps that may not stay: without them the outputs are nearer, on a scale of powers, to right than to wrong.

    All are left out, then each is put back that can be: one run for each step.
    """
    session = candidate.session
    assert isinstance(session, TakesSteps)
    every = session.steps()

    def error(steps: Collection[str]) -> float:
        progress.enter("", f"leaving out {listing(steps)}", candidate.path)
        try:
            with closing(session.without(steps)) as other:
                return _distance(answers[0], other.predict(candidate.feeds))
        except AlignerError:
            return math.inf

    wrong, least = _distance(*answers), error(every) if every else math.inf
    limit = math.sqrt(wrong * max(least, _ROUNDING))
    if not least < min(wrong, limit):
        return ()
    left = list(every)
    for step in every:
        fewer = [one for one in left if one != step]
        if error(fewer) < limit:
            left = fewer
    return tuple(left)


_ROUNDING = 2.0**-24
"""A rounding unit of float32: what is nearer is right."""


def _distance(one: Sequence[CapturedTensor], other: Sequence[CapturedTensor]) -> float:
    """The largest difference of outputs that answer each other, relative to the largest number."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        left, right = (np.asarray(tensor.real(), np.float64) for tensor in (a, b))
        if left.shape != right.shape:
            return math.inf
        with np.errstate(all="ignore"):
            apart = np.abs(left - right).max(initial=0.0) / (np.abs(left).max(initial=0.0) or 1.0)
        worst = max(worst, float(apart) if np.isfinite(apart) else math.inf)
    return worst
