"""Sketches sorted so that those which may agree with one are found without looking at all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from aligner.alignment.compatibility import SAME_TENSOR, agree
from aligner.records.alignment import Sketch

T = TypeVar("T")


class SketchShelf(Generic[T]):
    """Things by the sketch of their tensor."""

    def __init__(self, items: Iterable[tuple[Sketch, T]]) -> None:
        self._by_size: dict[int, list[tuple[float, float, Sketch, T]]] = defaultdict(list)
        self._rms: dict[int, list[float]] = {}
        for sketch, thing in items:
            self._by_size[sketch.size].append((sketch.rms, sketch.core.mean, sketch, thing))
        for size, shelf in self._by_size.items():
            shelf.sort(key=lambda item: item[0])
            self._rms[size] = [item[0] for item in shelf]

    def near(self, sketch: Sketch) -> Iterator[T]:
        """Things whose tensor has the size and, up to rounding, the root mean square of this one."""
        return (thing for _, _, _, thing in self._around(sketch))

    def like(self, sketch: Sketch) -> Iterator[T]:
        """Things whose tensor looks like this one, a reference's.

        Means are asked first: where thousands of tensors have one size, many are near in the root mean square alone.
        """
        core = sketch.core
        reach = 2 * SAME_TENSOR * core.rms + 1e-30
        return (
            thing
            for _, mean, other, thing in self._around(sketch)
            if abs(mean - core.mean) <= reach and agree(sketch, other)
        )

    def _around(self, sketch: Sketch) -> list[tuple[float, float, Sketch, T]]:
        size = sketch.size
        known = self._rms.get(size, [])
        reach = 2 * SAME_TENSOR * sketch.rms + 1e-30
        start, stop = bisect_left(known, sketch.rms - reach), bisect_right(known, sketch.rms + reach)
        return self._by_size[size][start:stop] if start < stop else []
