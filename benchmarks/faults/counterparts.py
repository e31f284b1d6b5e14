"""Where a guilty value shows when the other side has the operation as a part of a larger one, or in other pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

_STEPS = 24


@dataclass(frozen=True, slots=True)
class Counterparts:
    """``values``: the candidate as it was before anything was planted, by name; ``readers``: name → what is made of it.

    Two tensors are counterparts when they hold the same numbers, in whatever order: layouts differ.
    """

    values: Mapping[str, np.ndarray]
    readers: Callable[[str], Iterable[str]]
    reference: Mapping[int, list[np.ndarray]]
    tolerance: float

    @classmethod
    def among(
        cls,
        reference: Iterable[np.ndarray],
        values: Mapping[str, np.ndarray],
        readers: Callable[[str], Iterable[str]],
        tolerance: float,
    ) -> Counterparts:
        """Of the tensors of a reference; ``tolerance`` is relative to a tensor's size."""
        by_size: dict[int, list[np.ndarray]] = defaultdict(list)
        for array in reference:
            by_size[array.size].append(_ordered(array))
        return cls(values, readers, by_size, tolerance)

    def shown(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names that have a counterpart, and for those without one, the first after them that have."""
        found: dict[str, None] = {}
        rest, seen = [(name, 0) for name in names], set()
        while rest:
            name, steps = rest.pop(0)
            if name in seen or steps > _STEPS:
                continue
            seen.add(name)
            if self._known(name):
                found[name] = None
            else:
                rest += [(each, steps + 1) for each in self.readers(name)]
        return tuple(found)

    def _known(self, name: str) -> bool:
        array = self.values.get(name)
        if array is None:
            return False
        mine = _ordered(array)
        size = max(float(np.linalg.norm(mine)), 1e-12)
        return any(np.linalg.norm(other - mine) <= self.tolerance * size for other in self.reference.get(mine.size, ()))


def _ordered(array: np.ndarray) -> np.ndarray:
    return np.sort(array.astype(np.float64), axis=None)
