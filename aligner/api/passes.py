"""The passes over both models: accumulated errors, local errors, rounding noise.

Each pass runs the candidate once and lets the reference run alongside only as far as the candidate asks; where the
first look kept the tensors, nothing runs twice. Passes follow each other: two runs of one live module at the same time
would see each other's hooks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aligner.api.side import OpenSide
from aligner.capture.injection import ReferenceInjection
from aligner.capture.perturbation import rounding_units
from aligner.capture.pool import TensorPool
from aligner.capture.saturation import Grids
from aligner.diff.difference import difference
from aligner.diff.statistics import statistics
from aligner.records import progress
from aligner.records.alignment import PairedValues
from aligner.records.axis_order import fits, to_candidate, to_reference
from aligner.records.difference import Difference
from aligner.records.measurement import Measured, Noise
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aligner.capture.injection import Perturbation

    Array = NDArray[np.generic]


class Passes:
    """Measure the pairs of one comparison."""

    def __init__(
        self, reference: OpenSide, candidate: OpenSide, pairs: Sequence[PairedValues], atol: float, rtol: float
    ) -> None:
        self._reference, self._candidate = reference, candidate
        self._pairs = {pair.candidate: pair for pair in pairs}
        self._atol, self._rtol = atol, rtol
        self._grids = Grids(reference.graph), Grids(candidate.graph)
        self.measured = {pair.candidate: _unmeasured(reference, candidate, pair) for pair in pairs}

    def accumulated(self) -> None:
        """Both models on their own tensors; also each tensor's own statistics."""
        pool = self.pool(Counter(pair.reference for pair in self._pairs.values()))
        stream = self._candidate.replay(list(self._pairs))
        for done, tensor in enumerate(stream):
            progress.advance(done, len(self._pairs))
            pair = self._pairs[tensor.value]
            expected = pool.get(pair.reference, tensor.occurrence)
            if expected is not None:
                self.measured[tensor.value] = self._accumulate(self.measured[tensor.value], expected, tensor)
                pool.release(pair.reference, tensor.occurrence)
        pool.close()

    def _accumulate(self, item: Measured, expected: CapturedTensor, found: CapturedTensor) -> Measured:
        left, right = expected.real(), found.real()
        error = self._difference(item.pair, left, right)
        earlier = item.accumulated  # a later occurrence of a loop's value: keep the first that diverges
        if earlier is not None and (error is None or earlier.errors.beyond > 0 or error.errors.beyond == 0):
            return item
        return replace(
            item,
            accumulated=error,
            reference_shape=tuple(left.shape),
            candidate_shape=tuple(right.shape),
            reference_dtype=expected.dtype,
            candidate_dtype=found.dtype,
            step=self._step(expected, found),
            reference_statistics=statistics(left),
            candidate_statistics=statistics(right),
        )

    def _step(self, *tensors: CapturedTensor) -> float | None:
        """The coarser side's quantisation step."""
        grids = [grids.of(tensor) for grids, tensor in zip(self._grids, tensors, strict=True)]
        return max((grid.step for grid in grids if grid is not None), default=None)

    def _difference(self, pair: PairedValues, expected: Array, found: Array) -> Difference | None:
        moved = to_reference(found, pair.axes, tuple(expected.shape))
        if moved is None:
            return None
        return difference(expected, moved, atol=self._atol, rtol=self._rtol)

    def count_unique(self, value: str) -> None:
        """Count the unique values of one pair's tensors, however large: somebody is going to look at them."""
        item = self.measured[value]
        if item.accumulated is None or item.reference_statistics.unique is not None:
            return
        for _, expected, found in self.tensors([value], local=False):
            self.measured[value] = replace(
                item,
                reference_statistics=statistics(expected, unique=True),
                candidate_statistics=statistics(found, unique=True),
            )

    def local(self) -> None:
        """The candidate with every paired tensor replaced by the reference's: what each node does wrong itself."""
        if not self._candidate.session.can_inject:
            return
        for value, tensor, expected in self._injected_run(None):
            reference, left_out = self._grids[1].clipped(expected.real(), tensor)
            found, beyond = self._grids[0].clipped(tensor.real(), expected)
            error = self._difference(self._pairs[value], reference, found)
            self.measured[value] = replace(self.measured[value], local=error, saturated=max(left_out, beyond))

    def noise(self, doubtful: Sequence[Measured]) -> None:
        """How far the doubtful pairs move when everything injected moves by one rounding unit."""
        wanted = [item.pair.candidate for item in doubtful]
        if not wanted:
            return
        plain = {value: tensor.real() for value, tensor, _ in self._injected_run(None, wanted)}
        for value, tensor, _ in self._injected_run(rounding_units(self._candidate.seed), wanted):
            moved = difference(plain.pop(value), tensor.real(), atol=self._atol, rtol=self._rtol)
            noise = Noise(max_abs=moved.errors.max_abs, share=moved.unequal / max(moved.size, 1))
            self.measured[value] = replace(self.measured[value], noise=noise)

    def tensors(self, wanted: Sequence[str], *, local: bool) -> Iterator[tuple[str, Array, Array]]:
        """The pairs' tensors once more, (candidate value, reference, candidate in the reference's order).

        ``local``: the candidate's nodes are fed with the reference's tensors, and either's range is the other's too.
        """
        if local:
            for value, tensor, expected in self._injected_run(None, wanted):
                reference, _ = self._grids[1].clipped(expected.real(), tensor)
                held, _ = self._grids[0].clipped(tensor.real(), expected)
                moved = to_reference(held, self._pairs[value].axes, tuple(reference.shape))
                if moved is not None:
                    yield value, reference, moved
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

    def _injected_run(self, perturbation: Perturbation | None, wanted: Sequence[str] | None = None) -> _Run:
        return _Run(self, perturbation, list(self._pairs) if wanted is None else list(wanted))

    def injectable(self) -> dict[str, PairedValues]:
        """Pairs whose reference tensor can stand in for the candidate's: one occurrence, shapes that convert."""
        assert self._candidate.profile is not None and self._reference.profile is not None
        left, right = self._reference.profile, self._candidate.profile
        found = {}
        for value, pair in self._pairs.items():
            a, b = left.sketches.get(pair.reference), right.sketches.get(value)
            once = left.occurrences.get(pair.reference) == 1 and right.occurrences.get(value) == 1
            if a is None or b is None or not once or pair.note:
                continue
            if fits(a.shape, pair.axes, b.shape):
                found[value] = pair
        return found

    def computed(self) -> dict[str, PairedValues]:
        """Pairs whose tensors both runs showed and that can be laid on each other, by candidate value."""
        return {value: item.pair for value, item in self.measured.items() if item.accumulated is not None}

    def pool(self, uses: Counter[str]) -> TensorPool:
        """The reference's tensors, each kept for that many uses."""
        return TensorPool(self._reference.replay(list(uses)), uses)


class _Run:
    """One injected run of the candidate beside the reference, yielding (value, tensor, the reference's tensor)."""

    def __init__(self, passes: Passes, perturbation: Perturbation | None, wanted: list[str]) -> None:
        self._passes, self._perturbation, self._wanted = passes, perturbation, wanted

    def __iter__(self) -> Iterator[tuple[str, CapturedTensor, CapturedTensor]]:
        passes = self._passes
        injectable = passes.injectable()
        pairs = passes._pairs
        uses = Counter(pair.reference for pair in injectable.values())
        candidate = passes._candidate
        assert candidate.profile is not None
        seen = candidate.profile.sketches  # a graph also lists what no run shows, such as the body of a loop
        observed = [v for v in self._wanted if v in pairs and v in seen and pairs[v].note is None]
        uses.update(pairs[value].reference for value in observed)
        pool = passes.pool(uses)
        injection = ReferenceInjection(
            pool,
            injectable,
            candidate.profile.sketches,
            {
                value: candidate.graph.values[value].quantization
                for value in injectable
                if value in candidate.graph.values
            },
            lambda array, pair, shape: to_candidate(array, pair.axes, shape),
            self._perturbation,
        )
        stream = candidate.run(observed, injection, phase="measuring local errors")
        try:
            for done, tensor in enumerate(stream):
                progress.advance(done, len(observed))
                if tensor.value not in pairs:
                    continue
                expected = pool.get(pairs[tensor.value].reference, tensor.occurrence)
                if expected is not None:
                    yield tensor.value, tensor, expected
                    pool.release(pairs[tensor.value].reference, tensor.occurrence)
        finally:
            pool.close()


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
