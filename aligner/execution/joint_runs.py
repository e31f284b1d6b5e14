"""Runs of the candidate on the reference's tensors in which a few values are left to the candidate itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aligner.execution.injected_run import InjectedRun, Local
from aligner.execution.injection import numpy_dtype
from aligner.execution.passes import Passes
from aligner.execution.perturbation import rounding_units
from aligner.execution.side import OpenSide
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.difference import Difference

if TYPE_CHECKING:
    import numpy as np


MOST_RUNS = 200
"""Runs of one comparison; beyond, what is not settled keeps the verdict that it has by itself."""
MOST_BYTES = 64 << 30
"""Tensors that all runs together may observe, a few gigabytes of a large model each."""


class SpentError(Exception):
    """No more runs are left."""


@dataclass(slots=True)
class JointRuns:
    """Counted runs of one comparison's candidate."""

    sides: tuple[OpenSide, OpenSide]
    passes: Passes
    runs: int = 0
    seen: int = 0
    _injectable: dict[str, PairedValues] | None = None
    _sizes: dict[str, int] = field(default_factory=dict)

    @property
    def possible(self) -> bool:
        """Whether tensors can be put into the candidate."""
        return self.passes.computing == 1

    @property
    def injectable(self) -> dict[str, PairedValues]:
        """Pairs whose reference tensor can stand in for the candidate's."""
        if self._injectable is None:
            self._injectable = self.passes.injectable()
        return self._injectable

    def tensors(
        self,
        free: Collection[str],
        shown: Collection[str],
        *,
        moved: bool = False,
        override: Mapping[str, Array] | None = None,
    ) -> Iterator[Local]:
        """The shown values of a run in which all pairs but the free ones hold the reference's tensors.

        ``moved``: what is put in moves by one rounding unit; ``override``: what stands in other values' place. Raises
        SpentError where the work that one comparison may do is done.
        """
        size = sum(map(self._size, shown))
        if self.runs >= MOST_RUNS or self.seen + size > MOST_BYTES:
            raise SpentError
        self.runs, self.seen = self.runs + 1, self.seen + size
        entries = self._entries(set(free) | set(override or ()), shown)
        pairs = {value: self.passes.measured[value].pair for value in dict.fromkeys(shown)}
        noise = rounding_units(self.sides[1].seed) if moved else None
        return iter(InjectedRun(*self.sides, entries, pairs, noise, override))

    def _entries(self, left: Collection[str], shown: Collection[str]) -> dict[str, PairedValues]:
        """The nearest pairs before the shown values that hold the reference's tensors: what else would is not read."""
        found: dict[str, PairedValues] = {}
        stack, seen = list(shown), set[str]()
        while stack:
            item = self.passes.measured.get(stack.pop())
            for value in item.pair.candidate_region.inputs if item is not None else ():
                if value in seen:
                    continue
                seen.add(value)
                if value in self.injectable and value not in left:
                    found[value] = self.injectable[value]
                else:
                    stack.append(value)
        return found

    def _size(self, value: str) -> int:
        sketch = self.sides[1].profile.sketches.get(value) if self.sides[1].profile is not None else None
        return 4 * sketch.size if sketch is not None else 0

    def dtype(self, value: str) -> np.dtype[Any]:
        """How the candidate holds a value."""
        import numpy as np

        profile = self.sides[1].profile
        found = numpy_dtype(profile.sketches[value].dtype) if profile is not None else None
        return np.dtype(np.float32) if found is None else found

    def difference(self, value: str, expected: Any, found: Any) -> Difference | None:
        """How far a tensor of such a run is from the reference's, within what both sides' quantisation can hold."""
        return self.passes.held(value, expected, found)
