"""Runs of one side on the other's tensors in which a few values are left to that side itself.

The candidate computes; against a recording the reference does. Pairs go by their candidate value either way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aligner.execution.injected_run import InjectedRun, Local
from aligner.execution.injection import numpy_dtype
from aligner.execution.passes import Passes
from aligner.execution.perturbation import rounding_units
from aligner.execution.side import Sides
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate, to_reference
from aligner.records.difference import Difference
from aligner.records.graph import Quantization
from aligner.records.tensor import CapturedTensor

MOST_RUNS = 200
"""Runs of one comparison; beyond, what is not settled keeps the verdict that it has by itself."""
MOST_BYTES = 64 << 30
"""Tensors that all runs together may observe, a few gigabytes of a large model each."""


class SpentError(Exception):
    """No more runs are left."""


@dataclass(slots=True)
class JointRuns:
    """Counted runs of one comparison's computing side."""

    sides: Sides
    passes: Passes
    runs: int = 0
    seen: int = 0
    stirred: Mapping[str, Array] = field(default_factory=dict)
    """By reference value, other numbers from which both sides compute on; see ``stirring``."""
    _sizes: dict[str, int] = field(default_factory=dict)

    @property
    def host(self) -> int:
        """The side that computes."""
        return 1 if self.passes.computing is None else self.passes.computing

    @property
    def injectable(self) -> dict[str, PairedValues]:
        """Pairs whose tensor of the other side can stand in for the computing side's."""
        return self.passes.injectable()

    def tensors(
        self,
        free: Collection[str],
        shown: Collection[str],
        *,
        moved: bool = False,
        override: Mapping[str, Array] | None = None,
    ) -> Iterator[Local]:
        """The shown values of a run in which all pairs but the free ones hold the other side's tensors.

        ``moved``: what is put in moves by one rounding unit; ``override``: what stands in other values' place. Raises
        SpentError where the work that one comparison may do is done.
        """
        size = sum(map(self._size, shown))
        if self.runs >= MOST_RUNS or self.seen + size > MOST_BYTES:
            raise SpentError
        self.runs, self.seen = self.runs + 1, self.seen + size
        entries = self.passes.entries(shown, set(free) | set(override or ()))
        pairs = {value: self.passes.measured[value].pair for value in dict.fromkeys(shown)}
        noise = rounding_units(self.sides[1].seed) if moved else None
        stead = {self._held(value): array for value, array in (override or {}).items()}
        for value, pair in entries.items() if self.stirred else ():
            laid = self._as_candidate(value, pair)
            if laid is not None:
                stead.setdefault(value, laid)
        return iter(InjectedRun(*self.sides, entries, pairs, noise, stead, self.stirred))

    @contextmanager
    def stirring(self, values: Collection[str]) -> Iterator[bool]:
        """Run with the numbers of some values in another order and with other signs, on both sides.

        False where neither the reference takes such numbers nor any of these values holds such.
        """
        pairs = [self.injectable[value] for value in values if value in self.injectable]
        if self.host and pairs and self.sides[0].session.capabilities.can_inject:
            for tensor in self.sides[0].replay([pair.reference for pair in pairs]):
                mixed = _mixed(tensor)
                if mixed is not None:
                    self.stirred = {**self.stirred, tensor.value: mixed}
        try:
            yield bool(self.stirred)
        finally:
            self.stirred = {}

    def disturbed(self, value: str) -> Array | None:
        """Numbers as of the computing side's own value, in another order, with other signs and twice as large: never
        themselves, however few. None where these are no real numbers."""
        for tensor in self.sides[self.host].replay([self._held(value)]):
            mixed = _mixed(tensor)
            return None if mixed is None else 2 * mixed
        return None

    def _as_candidate(self, value: str, pair: PairedValues) -> Array | None:
        """The other numbers of a pair, as the candidate holds it."""
        array, sketch = self.stirred.get(pair.reference), self._sketch(value)
        if array is None or sketch is None or self.dtype(value).kind != "f":
            return None
        laid = to_candidate(array, pair.axes, sketch.shape)
        return None if laid is None else laid.astype(self.dtype(value))

    def _held(self, value: str) -> str:
        """What the computing side calls the value of a pair."""
        return self.passes.measured[value].pair.values[self.host] if value in self.passes.measured else value

    def _sketch(self, value: str) -> Sketch | None:
        profile = self.sides[self.host].profile
        return profile.sketches.get(self._held(value)) if profile is not None else None

    def _size(self, value: str) -> int:
        sketch = self._sketch(value)
        return 4 * sketch.size if sketch is not None else 0

    def dtype(self, value: str) -> np.dtype[Any]:
        """How the computing side holds a value."""
        sketch = self._sketch(value)
        found = numpy_dtype(sketch.dtype) if sketch is not None else None
        return np.dtype(np.float32) if found is None else found

    def quantization(self, value: str) -> Quantization | None:
        """On what grid the computing side holds a value."""
        known = self.sides[self.host].graph.values.get(self._held(value))
        return known.quantization if known is not None else None

    def computed(self, expected: CapturedTensor, found: CapturedTensor) -> CapturedTensor:
        """Of a pair's tensors of such a run the one that was computed in it."""
        return (expected, found)[self.host]

    def laid(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> tuple[Array, Array] | None:
        """What was computed, and the other side's tensor laid out like it."""
        own, axes = self.computed(expected, found), self.passes.measured[value].pair.axes
        shape = tuple(own.array.shape)
        other = to_candidate(expected.real(), axes, shape) if self.host else to_reference(found.real(), axes, shape)
        return None if other is None else (own.real(), other)

    def difference(self, value: str, expected: Any, found: Any) -> Difference | None:
        """How far a tensor of such a run is from the reference's, within what both sides' quantisation can hold."""
        return self.passes.held(value, expected, found)


def _mixed(tensor: CapturedTensor) -> Array | None:
    """The first of a value's real tensors in another order and with other signs."""
    array, generator = tensor.real(), np.random.default_rng(0)
    if tensor.occurrence or array.dtype.kind != "f":
        return None
    mixed: Array = generator.permutation(array.reshape(-1)) * generator.choice((-1.0, 1.0), array.size)
    return mixed.reshape(array.shape).astype(array.dtype)
