"""A run of the candidate in which every paired tensor is replaced by the reference's."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from aligner.execution.injection import ReferenceInjection
from aligner.execution.pool import TensorPool
from aligner.execution.side import OpenSide
from aligner.records import progress
from aligner.records.alignment import PairedValues
from aligner.records.axis_order import to_candidate
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.execution.injection import Perturbation

Local = tuple[str, CapturedTensor, CapturedTensor]
"""A candidate value, its tensor, the reference's."""


class InjectedRun:
    """Yields those of the pairs that are shown.

    ``injectable`` and ``shown`` are pairs by candidate value. Iterating runs the reference alongside.
    """

    def __init__(
        self,
        reference: OpenSide,
        candidate: OpenSide,
        injectable: Mapping[str, PairedValues],
        shown: Mapping[str, PairedValues],
        perturbation: Perturbation | None = None,
    ) -> None:
        assert candidate.profile is not None
        seen = candidate.profile.sketches  # a graph also lists what no run shows, such as the body of a loop
        self._reference, self._candidate, self._sketches = reference, candidate, seen
        self._injectable, self._perturbation = injectable, perturbation
        self.shown = {value: pair for value, pair in shown.items() if value in seen and pair.note is None}

    def uses(self) -> Counter[str]:
        """How often the run asks for each of the reference's tensors."""
        return Counter(pair.reference for pairs in (self._injectable, self.shown) for pair in pairs.values())

    def __iter__(self) -> Iterator[Local]:
        uses = self.uses()
        pool = TensorPool(self._reference.replay(list(uses)), uses)
        try:
            yield from self.over(pool)
        finally:
            pool.close()

    def over(self, pool: TensorPool) -> Generator[Local]:
        """The same with the reference's tensors from a pool that others use as well."""
        values = self._candidate.graph.values
        injection = ReferenceInjection(
            pool,
            self._injectable,
            self._sketches,
            {value: values[value].quantization for value in self._injectable if value in values},
            lambda array, pair, shape: to_candidate(array, pair.axes, shape),
            self._perturbation,
        )
        stream = self._candidate.run(list(self.shown), injection, phase="measuring local errors")
        done = itertools.count()
        for tensor in stream:  # not enumerate, which holds on to what it gave last
            progress.advance(next(done), len(self.shown))
            pair = self.shown.get(tensor.value)
            expected = pool.get(pair.reference, tensor.occurrence) if pair is not None else None
            shown = [(tensor.value, tensor, expected)] if expected is not None else []
            occurrence = tensor.occurrence
            del tensor, expected  # else they would live until the next ones are there
            if pair is not None and shown:
                yield shown.pop()
                pool.release(pair.reference, occurrence)
