"""The passes over both models: accumulated errors, local errors, rounding noise.

Each pass runs the candidate once and lets the reference run alongside only as far as the candidate asks; where the
first look kept the tensors, nothing runs twice. Passes follow each other: two runs of one live module at the same time
would see each other's hooks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from aligner.adapters.stream import Run, ahead, is_huge, leeway
from aligner.diff.difference import difference
from aligner.diff.statistics import EXACT_UNIQUE, statistics, with_estimate
from aligner.execution.entries import entries
from aligner.execution.flips import Flips, noise_draws
from aligner.execution.injected_run import InjectedRun, Local, computing_side
from aligner.execution.injection import Perturbation
from aligner.execution.perturbation import rounding_units
from aligner.execution.pool import TensorPool
from aligner.execution.saturation import Grids
from aligner.execution.side import OpenSide
from aligner.records import progress
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.array import Array
from aligner.records.axis_order import fits, to_reference
from aligner.records.comparison import TensorStatistics
from aligner.records.difference import Difference
from aligner.records.dtypes import is_floating
from aligner.records.measurement import Measured, Noise
from aligner.records.tensor import CapturedTensor


def _is_kept(side: OpenSide) -> bool:
    return side.profile is not None and side.profile.tensors is not None


class Passes:
    """Measure the pairs of one comparison."""

    def __init__(
        self, reference: OpenSide, candidate: OpenSide, pairs: Sequence[PairedValues], atol: float, rtol: float
    ) -> None:
        self._reference, self._candidate = reference, candidate
        self._pairs = {pair.candidate: pair for pair in pairs}
        self._atol, self._rtol = atol, rtol
        self._grids = Grids(reference.graph), Grids(candidate.graph)
        self.free: frozenset[str] = frozenset()
        """Candidate values of another form than the reference's: never replaced by its tensors."""
        self.looked: tuple[dict[str, PairedValues], dict[str, Sketch]] = {}, {}
        """The last look at every tensor of the candidate: the pairs that it was fed by, and what was seen."""
        self._injectable: tuple[frozenset[str], dict[str, PairedValues]] | None = None
        self.measured = {pair.candidate: _unmeasured(reference, candidate, pair) for pair in pairs}

    def accumulated(self, wanted: Sequence[str] | None = None) -> None:
        """Both models on their own tensors; also each tensor's own statistics. ``wanted``: of these pairs alone."""
        chosen = list(self._pairs) if wanted is None else list(wanted)
        if not chosen:
            return
        pool = self.pool(Counter(self._pairs[value].reference for value in chosen))
        for done, tensor in enumerate(self._candidate.replay(chosen)):
            progress.advance(done, len(chosen))
            pair = self._pairs[tensor.value]
            expected = pool.get(pair.reference, tensor.occurrence)
            if expected is not None:
                self.take_accumulated(expected, tensor)
                pool.release(pair.reference, tensor.occurrence)
        pool.close()

    def take_accumulated(self, expected: CapturedTensor, found: CapturedTensor) -> None:
        """Measure a pair's tensors as the two models computed them."""
        self.measured[found.value] = self._accumulate(self.measured[found.value], expected, found)

    def _accumulate(self, item: Measured, expected: CapturedTensor, found: CapturedTensor) -> Measured:
        left, right = expected.real(), found.real()
        error = self._difference(item.pair, left, right, self._known(self._reference, expected))
        earlier = item.accumulated  # a later occurrence of a loop's value: keep the first that diverges
        if earlier is not None and (error is None or earlier.errors.beyond > 0 or error.errors.beyond == 0):
            return item
        statistics_ = self._numbers(self._reference, expected, left)
        equal = error is not None and not error.unequal and item.pair.axes is None and left.dtype == right.dtype
        return replace(
            item,
            accumulated=error,
            reference_shape=tuple(left.shape),
            candidate_shape=tuple(right.shape),
            reference_dtype=expected.dtype,
            candidate_dtype=found.dtype,
            step=self._step(expected, found),
            reference_statistics=statistics_,
            candidate_statistics=statistics_ if equal else self._numbers(self._candidate, found, right),
        )

    @staticmethod
    def _numbers(side: OpenSide, tensor: CapturedTensor, array: Array) -> TensorStatistics:
        """A tensor's own statistics; those of a large one are known from the first look at it."""
        one = Passes._known(side, tensor)
        if one is None or array.size <= EXACT_UNIQUE:
            return statistics(array)
        return with_estimate(TensorStatistics(mean=one.mean, min=one.min, max=one.max), array)

    @staticmethod
    def _known(side: OpenSide, tensor: CapturedTensor) -> Sketch | None:
        """What a look at the tensor has shown; None where nobody looked, or saw nothing but zeros."""
        if side.profile is None or not side.profile.once(tensor.value):
            return None
        one = side.profile.sketches.get(tensor.value)
        return one if one is not None and one.finite and one.rms > 0 else None

    def _step(self, *tensors: CapturedTensor) -> float | None:
        """The coarser side's quantisation step."""
        grids = [grids.of(tensor) for grids, tensor in zip(self._grids, tensors, strict=True)]
        return max((grid.step for grid in grids if grid is not None), default=None)

    def _difference(self, pair: PairedValues, expected: Array, found: Array, known: Sketch | None) -> Difference | None:
        moved = to_reference(found, pair.axes, tuple(expected.shape))
        if moved is None:
            return None
        return difference(expected, moved, atol=self._atol, rtol=self._rtol, known=known)

    def count_unique(self, value: str) -> None:
        """Count the unique values of one pair's tensors, however large: somebody is going to look at them."""
        item = self.measured[value]
        sides = item.reference_statistics, item.candidate_statistics
        if item.accumulated is None or not any(side.unique_estimated for side in sides):
            return
        for _, expected, found in self.tensors([value], local=False):
            self.measured[value] = replace(
                item,
                reference_statistics=statistics(expected, unique=True),
                candidate_statistics=statistics(found, unique=True),
            )

    @property
    def computing(self) -> int | None:
        """Which side's nodes run on the other's tensors; None where neither's can."""
        return computing_side(self._reference, self._candidate)

    def begin_local(self) -> Run[Local] | None:
        """What ``local`` measures, on its way already; None where other runs have to end first."""
        if not (_is_kept(self._reference) and _is_kept(self._candidate) and self._candidate.look.budget):
            return None
        run = iter(self.injected_run())
        begun = ahead(
            run, leeway(self._candidate.look.budget), lambda one: one[1].array.nbytes, lambda one: is_huge(one[1])
        )
        begun.begin()
        return begun

    def local(self, run: Iterator[Local] | None = None, wanted: Sequence[str] | None = None) -> None:
        """The candidate with every paired tensor replaced by the reference's: what each node does wrong itself.

        Against a recording it is the reference that runs on the recorded tensors. ``run`` is one that has begun.
        """
        if self.computing is None:
            return
        for value, tensor, expected in run or self.injected_run(wanted=wanted):
            self.take_local(value, expected, tensor)

    def take_local(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> None:
        """Measure what a node does wrong itself, within what both sides' quantisation can hold."""
        error, saturated = self._local(value, expected, found)
        self.measured[value] = replace(self.measured[value], local=error, saturated=saturated)

    def believe_plain_runs(self) -> None:
        """A node that was fed the reference's very numbers anyway has no other local error than its accumulated one.

        What is put in the place of tensors may change what a runtime fuses around them.
        """
        for value, item in self.measured.items():
            region, plain = item.pair.candidate_region, item.accumulated
            if plain is None or item.local is None or not region.inputs or self.computing != 1:
                continue
            fed = [self.measured[name].accumulated if name in self.measured else None for name in region.inputs]
            alike = all(one is not None and not one.mismatched and one.unequal == 0 for one in fed)
            if alike and plain.errors.max_abs < item.local.errors.max_abs:
                self.measured[value] = replace(item, local=plain)

    def local_difference(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> Difference | None:
        """How far a pair's tensors are apart within what both sides' quantisation can hold."""
        return self._local(value, expected, found)[0]

    def _local(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> tuple[Difference | None, float]:
        reference, left_out = self._grids[1].clipped(expected.real(), found)
        held, beyond = self._grids[0].clipped(found.real(), expected)
        own = self.computing == 1 and reference is expected.array  # else it was cut off, or fed with other tensors
        known = self._known(self._reference, expected) if own else None
        return self._difference(self._pairs[value], reference, held, known), max(left_out, beyond)

    def held(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> Difference | None:
        """How far a pair's tensors of any run are apart, within what both sides' quantisation can hold."""
        reference, _ = self._grids[1].clipped(expected.real(), found)
        held, _ = self._grids[0].clipped(found.real(), expected)
        return self._difference(self._pairs[value], reference, held, None)

    def noise(self, doubtful: Sequence[Measured]) -> None:
        """How far doubtful pairs move when everything injected moves by one rounding unit, where it is not known."""
        wanted = [item.pair.candidate for item in doubtful if item.noise is None]
        if not wanted:
            return

        given = self.entries(wanted)  # no others are moved, and laid out for a side that runs as a whole
        plain = {(value, one.occurrence): (one, other) for value, one, other in self.injected_run(None, wanted, given)}
        for value, *tensors in self.injected_run(rounding_units(self._candidate.seed), wanted, given):
            still = plain.get((value, tensors[0].occurrence))
            if still is None:
                continue  # a turn more than without the noise, which let a loop go on
            moved = difference(self._computed(*still), self._computed(*tensors), atol=self._atol, rtol=self._rtol)
            beside = moved.unmasked.max_abs if moved.unmasked is not None else None
            # the last turn's holds
            noise = Noise(moved.errors.max_abs, moved.unequal / max(moved.size, 1), unmasked=beside)
            self.measured[value] = replace(self.measured[value], noise=noise)
            if not self._may_step(self.measured[value]):
                del plain[value, tensors[0].occurrence]
        self._unexplained([(value, *tensors) for (value, _), tensors in plain.items()])

    def _computed(self, found: CapturedTensor, expected: CapturedTensor) -> Array:
        return (expected if self.computing == 0 else found).real()

    def _may_step(self, item: Measured) -> bool:
        """Whether a tensor may be moved by steps: numbers that move, few of them, or whole ones that do not."""
        if item.noise is None or item.step is not None or item.local is None or item.local.mismatched:
            return False
        seen = self._candidate.profile.sketches if self._candidate.profile is not None else {}
        fed = [seen[value].dtype for value in item.pair.candidate_region.inputs if value in seen]
        return item.noise.share < 1 and any(map(is_floating, fed))

    def _unexplained(self, plain: Sequence[Local]) -> None:
        """Hold errors against what noise does element by element, where it does not grow as rounding does."""
        known: dict[str, Flips] = {}
        for value, *tensors in plain:
            noise, arrays = self.measured[value].noise, self._held_arrays(value, *tensors)
            if noise is not None and arrays is not None and self._may_step(self.measured[value]):
                known[value] = Flips(*arrays, noise.max_abs, by_reference=self.computing == 0)
        open_ = list(known)
        for draw in noise_draws():
            open_ = [v for v in open_ if not (known[v].smooth or (draw.follows_a_pair and known[v].is_no_flip))]
            if not open_:
                break
            moving = rounding_units(self._candidate.seed + draw.number, draw.units)
            for value, tensor, other in self.injected_run(moving, open_, self.entries(open_)):
                arrays = self._held_arrays(value, tensor, other)
                if arrays is not None:
                    known[value].take(arrays[0 if self.computing == 0 else 1])
        for value, flips in known.items():
            noise = self.measured[value].noise
            if noise is not None:
                noise = replace(noise, unexplained=flips.unexplained())
                self.measured[value] = replace(self.measured[value], noise=noise)

    def tensors(self, wanted: Sequence[str], *, local: bool = True) -> Iterator[tuple[str, Array, Array]]:
        """The pairs' tensors once more, (candidate value, reference, candidate in the reference's order).

        ``local``: the candidate's nodes are fed with the reference's tensors, and either's range is the other's too.
        """
        if local:
            for value, tensor, expected in self.injected_run(None, wanted):
                arrays = self._held_arrays(value, tensor, expected)
                if arrays is not None:
                    yield value, *arrays
            return
        pool = self.pool(Counter(self._pairs[value].reference for value in wanted))
        for tensor in self._candidate.replay(list(wanted)):
            pair = self._pairs[tensor.value]
            found = pool.get(pair.reference, tensor.occurrence)
            if found is None:
                continue
            reference = found.real()
            moved = to_reference(tensor.real(), pair.axes, tuple(reference.shape))
            if moved is not None:
                yield tensor.value, reference, moved
            pool.release(pair.reference, tensor.occurrence)
        pool.close()

    def _held_arrays(self, value: str, found: CapturedTensor, expected: CapturedTensor) -> tuple[Array, Array] | None:
        """The reference's tensor and the candidate's in its order, either within the other's range."""
        reference, _ = self._grids[1].clipped(expected.real(), found)
        held, _ = self._grids[0].clipped(found.real(), expected)
        moved = to_reference(held, self._pairs[value].axes, tuple(reference.shape))
        return None if moved is None else (reference, moved)

    @property
    def reference(self) -> OpenSide:
        """The side whose tensors are right."""
        return self._reference

    def injected_run(
        self,
        perturbation: Perturbation | None = None,
        wanted: Sequence[str] | None = None,
        injectable: Mapping[str, PairedValues] | None = None,
        override: Mapping[str, Array] | None = None,
    ) -> InjectedRun:
        """A run of one side on the other's tensors, of which the wanted pairs are shown; ``injectable``: on these.

        ``override`` holds what stands in the place of further values of the side that computes.
        """
        chosen = {value: self._pairs[value] for value in (self._pairs if wanted is None else wanted)}
        given = self.injectable() if injectable is None else injectable
        return InjectedRun(self._reference, self._candidate, given, chosen, perturbation, override)

    def injectable(self) -> dict[str, PairedValues]:
        """Pairs whose reference tensor can stand in for the candidate's: one occurrence, shapes that convert."""
        if self._injectable is None or self._injectable[0] != self.free:
            self._injectable = self.free, self._find_injectable()
        return dict(self._injectable[1])

    def _find_injectable(self) -> dict[str, PairedValues]:
        assert self._candidate.profile is not None and self._reference.profile is not None
        left, right = self._reference.profile, self._candidate.profile
        found = {}
        for value, pair in self._pairs.items():
            a, b = left.sketches.get(pair.reference), right.sketches.get(value)
            once = left.once(pair.reference) and right.once(value)
            if a is None or b is None or not once or pair.note or value in self.free:
                continue
            if fits(a.shape, pair.axes, b.shape):
                found[value] = pair
        return found

    def entries(self, shown: Collection[str], left: Collection[str] = ()) -> dict[str, PairedValues]:
        """The nearest pairs before the shown values that hold the other side's tensors: what else would is not read.

        ``left`` are values that are left to the side that computes.
        """
        return entries(self._pairs, self.injectable(), shown, left, 1 if self.computing is None else self.computing)

    def computed(self) -> dict[str, PairedValues]:
        """Pairs whose tensors both runs showed and that can be laid on each other, by candidate value."""
        return {value: item.pair for value, item in self.measured.items() if item.accumulated is not None}

    def pool(self, uses: Counter[str], side: int = 0) -> TensorPool:
        """One side's own tensors, the reference's, each kept for that many uses."""
        return TensorPool((self._reference, self._candidate)[side].replay(list(uses)), uses)

    def revise(self, pairs: Sequence[PairedValues]) -> tuple[list[str], list[str]]:
        """Go on with other pairs, keeping what was measured of those that stay.

        Returns the candidate values whose accumulated error is open, and those whose local error is: they are others,
        or other tensors are now put in before them.
        """
        self._injectable = None  # a sweep has found out what its sketches only expected
        before, measured, known = self.injectable(), self.measured, self._pairs
        self._pairs = {pair.candidate: pair for pair in pairs}
        self.measured = {
            value: replace(measured[value], pair=pair)
            if laid_alike(known.get(value), pair)
            else _unmeasured(self._reference, self._candidate, pair)
            for value, pair in self._pairs.items()
        }
        self._injectable = None
        after = self.injectable()
        fed = {value for value in before.keys() | after.keys() if not laid_alike(before.get(value), after.get(value))}
        missing = [value for value, pair in self._pairs.items() if not laid_alike(known.get(value), pair)]
        open_ = []
        for value, pair in self._pairs.items():
            region = pair.candidate_region
            other = value in missing or region != known[value].candidate_region or not fed.isdisjoint(region.inputs)
            if other or (fed and not after.keys() >= set(region.inputs)):  # what is not put in comes from further up
                self.measured[value] = replace(self.measured[value], noise=None)
                open_.append(value)
        return missing, open_


def laid_alike(one: PairedValues | None, other: PairedValues | None) -> bool:
    """Whether both pairs are there and put one tensor in the same place in the same order of axes."""
    if one is None or other is None:
        return False
    return (one.reference, one.axes, one.note) == (other.reference, other.axes, other.note)


def _unmeasured(reference: OpenSide, candidate: OpenSide, pair: PairedValues) -> Measured:
    sketches = [
        side.profile.sketches.get(value) if side.profile is not None else None
        for side, value in ((reference, pair.reference), (candidate, pair.candidate))
    ]
    left, right = sketches
    return Measured(
        pair=pair,
        reference_shape=left.shape if left else None,
        candidate_shape=right.shape if right else None,
        reference_dtype=left.dtype if left else None,
        candidate_dtype=right.dtype if right else None,
    )
