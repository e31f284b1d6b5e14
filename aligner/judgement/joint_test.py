"""Values of one side judged as one: entered with the other's tensors, what leaves them is held against its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace

from aligner.diff.difference import difference
from aligner.execution.joint_runs import JointRuns
from aligner.judgement.gain import as_written, gain_bound
from aligner.judgement.pair_facts import Rules
from aligner.judgement.random_change import SEEN, UNDONE, changed_as_much
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.tolerance import RegionNumbers, beside_mask, bound, region_numbers
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.operations.kinds import COPIES
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference
from aligner.records.graph import Graph
from aligner.records.measurement import Measured, Noise

_NEAR = 100.0
"""Past its summed bound by less than that, an exit is asked what rounding at the entries does to it: one run more. It
decides what is worth a run; an exit that is excused passes the measured noise either way."""


@dataclass(frozen=True, slots=True)
class Exit:
    """What one observed value shows with a region left to the side that computes."""

    error: Difference
    limit: float
    within: bool


@dataclass(frozen=True, slots=True)
class _Member:
    """A value's reduction length, its rounding bound relative to its largest number, whether that is of few bits."""

    reduction: int
    share: float
    quantized: bool
    gain: float
    """The share by which rounding may make it larger as a whole."""


@dataclass(slots=True)
class Shown:
    """Exits by value; ``arrays``: what was computed and the other side's tensor laid out like it."""

    exits: dict[str, Exit] = field(default_factory=dict)
    arrays: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def wrong(self, values: Iterable[str]) -> list[str]:
        """Those of the values that are shown and beyond their limits."""
        return [value for value in values if value in self.exits and not self.exits[value].within]


@dataclass(slots=True)
class JointTest:
    """Runs the test, and holds what leaves a region against the rounding of everything inside, relative errors summed.

    Arrays of the latest test alone are kept.
    """

    graphs: tuple[Graph, Graph]
    runs: JointRuns
    rules: Rules
    walk: RegionWalk
    _key: frozenset[str] = frozenset()
    _wanted: set[str] = field(default_factory=set)
    _shown: Shown | None = None
    _exits: dict[frozenset[str], dict[str, Exit]] = field(default_factory=dict)
    """Of all tests so far, by what was left to the side that computes."""
    _members: dict[str, _Member] = field(default_factory=dict)

    def test(self, free: Collection[str], watched: Sequence[str], kept: Collection[str]) -> Shown:
        """What leaves ``free``, the values left to the side that computes; those of ``kept`` beside it."""
        key = frozenset(free)
        known = self._shown
        wanted = {*watched, *kept}
        if known is None or key != self._key or not wanted <= self._wanted:
            self._key, self._wanted, self._shown = key, wanted, self._run(free, [*watched, *kept])
            self._exits[key] = self._exits.get(key, {}) | self._shown.exits
        assert self._shown is not None
        return self._shown

    def known(self, free: Collection[str], watched: Sequence[str]) -> Shown | None:
        """What an earlier test has shown of these, without arrays; None where it was not asked for all of them."""
        exits = self._exits.get(frozenset(free), {})
        return Shown({value: exits[value] for value in watched}) if exits.keys() >= set(watched) else None

    def changed(
        self,
        free: Collection[str],
        watched: Sequence[str],
        override: Mapping[str, Array] | None = None,
        *,
        moved: bool = False,
    ) -> Shown:
        """The same with other tensors in the place of some values, or with what is put in moved by rounding."""
        shown = Shown()
        for value, tensor, expected in self.runs.tensors(free, watched, moved=moved, override=override):
            error, laid = self.runs.difference(value, expected, tensor), self.runs.laid(value, expected, tensor)
            if error is not None:
                shown.exits[value] = self._held(value, free, error, None)
            if laid is not None:
                shown.arrays[value] = laid
        return shown

    def sees(self, value: str, shown: Shown, free: set[str], watched: Sequence[str]) -> bool:
        """Whether as large a change at ``value`` would be seen at an exit, by the limits that the region is held to."""
        found, expected = shown.arrays[value]
        if found.dtype.kind != "f":
            return True
        changed = changed_as_much(found, expected)
        grid, dtype = self.runs.quantization(value), self.runs.dtype(value)
        if dtype.kind in "iu":
            if grid is None:
                return True
            changed = grid.quantize(changed, dtype)
        other = self.changed(free - {value}, watched, {value: changed})
        return any(
            one.error.mismatched
            or one.error.errors.max_abs > SEEN * max(one.limit, shown.exits[name].limit, self.matters(one.error))
            for name, one in other.exits.items()
        ) or all(  # it is undone: such a change moves every exit further than the real one does
            self.matters(one.error) < one.error.errors.max_abs
            and shown.exits[name].error.errors.rmse <= UNDONE * one.error.errors.rmse
            for name, one in other.exits.items()
        )

    def _run(self, free: Collection[str], watched: Sequence[str]) -> Shown:
        shown = self.changed(free, watched)
        shown.exits = {value: one for value, one in shown.exits.items() if value in shown.arrays}
        near = [value for value, one in shown.exits.items() if not one.within and _is_near(one)]
        if near:
            for value, tensor, expected in self.runs.tensors(free, near, moved=True):
                change = difference(shown.arrays[value][0], self.runs.computed(expected, tensor).real())
                noise = Noise(change.errors.max_abs, 0.0, change.unmasked.max_abs if change.unmasked else None)
                shown.exits[value] = self._held(value, free, shown.exits[value].error, noise)
        return shown

    def _own(self, value: str) -> _Member:
        if value not in self._members:
            item = self.walk.items[value]
            numbers = region_numbers(self.graphs, item)
            peak = item.local.peak if item.local is not None else 0.0
            kinds = {self.graphs[1].nodes[index].kind for index in item.pair.candidate_region.nodes}
            copied = numbers.stepped and bool(kinds) and kinds <= COPIES  # only stored otherwise, and nothing computed
            own = OWN_STEPS * numbers.step if copied else bound(replace(item, noise=None), numbers)
            share = own / peak if peak else 0.0
            self._members[value] = _Member(numbers.reduction, share, numbers.quantized, self._gain(item, numbers))
        return self._members[value]

    @staticmethod
    def _gain(item: Measured, numbers: RegionNumbers) -> float:
        return math.inf if item.local is None else gain_bound(numbers, item.noise, item.local)

    def longest(self, values: Collection[str]) -> int:
        """How many terms the longest sum in the regions of some values has."""
        return max((self._own(value).reduction for value in values), default=1)

    def matters(self, error: Difference) -> float:
        """The least error that matters to anybody."""
        if self.rules.fixed is not None:
            return self.rules.fixed
        return (self.rules.atol + self.rules.rtol) * min(1.0, error.peak or 1.0)

    def _held(self, value: str, free: Collection[str], error: Difference, noise: Noise | None) -> Exit:
        item = replace(self.walk.items[value], local=error, noise=noise)
        numbers = region_numbers(self.graphs, item)
        # the rounding of values that it is not computed from does not reach it
        inside = sorted(self.walk.before([value], free) - {value})
        members = [self._own(member) for member in inside]
        reduction = max([numbers.reduction, *(one.reduction for one in members)])
        relative = _together(members)
        seen = beside_mask(self.graphs, item, numbers)
        local = seen.local if seen.local is not None else error
        limit = bound(replace(seen, noise=None), numbers) + relative * local.peak
        if noise is not None and limit > 0 and not numbers.rounded and not numbers.quantized:
            # steps of few bits are in the bound already, as large as they are
            change = seen.noise.max_abs if seen.noise is not None else noise.max_abs
            limit = max(limit, min((8 + math.sqrt(reduction)) * change, local.peak))
        limit = self.rules.fixed if self.rules.fixed is not None else limit
        gains = self._gain(seen, numbers) + sum(one.gain for one in members)
        items = [self.walk.items[each] for each in dict.fromkeys((*inside, value))]
        scaled = abs(local.gain) > gains or as_written(self.graphs, items, numbers, local)
        if self.rules.fixed is None and scaled and local.errors.max_abs > self.matters(local):
            return Exit(local, limit, within=False)
        within = not local.mismatched and local.errors.max_abs <= max(limit, self.matters(local))
        return Exit(local, limit, within)


def _together(members: Sequence[_Member]) -> float:
    """Bounds of rounding add up at worst; those of few bits are so wide that they are taken for what they are, noise of
    independent tensors."""
    plain = sum(one.share for one in members if not one.quantized)
    return plain + math.sqrt(sum(one.share**2 for one in members if one.quantized))


def _is_near(one: Exit) -> bool:
    return not one.error.mismatched and 0 < one.error.errors.max_abs <= _NEAR * one.limit
