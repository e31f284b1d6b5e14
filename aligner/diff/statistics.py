"""One tensor's own numbers: start, update with chunks, result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from aligner.diff.distinct import estimated_unique
from aligner.numerics.blocks import BLOCK, total
from aligner.records.array import Array
from aligner.records.comparison import TensorStatistics

EXACT_UNIQUE = 1 << 16
"""Elements up to which unique values are always counted; beyond, where somebody will look, else estimated."""
_ENDS = 3


class StatisticsAccumulator:
    """Streaming mean, range, non-finite counts and unique values; sums in float64."""

    def __init__(self, size: int, *, unique: bool = False) -> None:
        """``unique``: count them, however large the ``size`` of the whole."""
        self._count = 0
        self._total = 0.0
        self._low: float | None = None
        self._high: float | None = None
        self._nan = 0
        self._inf = 0
        self._chunks: list[Array] | None = [] if unique or size <= EXACT_UNIQUE else None
        self._head: Array | None = None
        self._tail: Array | None = None

    def update(self, chunk: Array) -> None:
        """Take in a flat chunk of real numbers (bool counts as 0 and 1)."""
        if not chunk.size:
            return
        low, high = float(chunk.min()), float(chunk.max())
        if not math.isfinite(low) or not math.isfinite(high):
            self._nan += int(np.isnan(chunk).sum())
            self._inf += int(np.isinf(chunk).sum())
            chunk = chunk[np.isfinite(chunk)]
            if not chunk.size:
                return
            low, high = float(chunk.min()), float(chunk.max())
        self._count += int(chunk.size)
        self._total += total(chunk) if chunk.dtype.itemsize > 2 else float(chunk.sum(dtype=np.float64))
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)
        if self._chunks is not None:
            self._chunks.append(np.array(chunk))

    def result(self) -> TensorStatistics:
        """The statistics so far; None for what an empty or all-non-finite tensor does not have."""
        if not self._count:
            return TensorStatistics(nan=self._nan, inf=self._inf)
        unique: int | None = None
        head: tuple[float, ...] = ()
        tail: tuple[float, ...] = ()
        if self._chunks is not None:
            values = np.sort(np.concatenate(self._chunks))
            keep = np.empty(values.size, dtype=bool)
            keep[0] = True
            np.not_equal(values[1:], values[:-1], out=keep[1:])
            distinct = values[keep]
            unique = int(distinct.size)
            head = tuple(float(value) for value in distinct[:_ENDS])
            tail = tuple(float(value) for value in distinct[-_ENDS:])
        return TensorStatistics(
            mean=self._total / self._count,
            min=self._low,
            max=self._high,
            unique=unique,
            unique_head=head,
            unique_tail=tail,
            nan=self._nan,
            inf=self._inf,
        )


def statistics(array: Array, *, unique: bool = False) -> TensorStatistics:
    """The statistics of a whole numeric array; all empty for strings and other objects."""
    if array.dtype.kind not in "fiub":
        return TensorStatistics()
    exact = unique or array.size <= EXACT_UNIQUE
    accumulator = StatisticsAccumulator(array.size, unique=exact)
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, BLOCK):
        chunk = flat[start : start + BLOCK]
        accumulator.update(chunk.astype(np.uint8) if chunk.dtype.kind == "b" else chunk)
    found = accumulator.result()
    return found if exact else with_estimate(found, array)


def with_estimate(found: TensorStatistics, array: Array) -> TensorStatistics:
    """The statistics with an estimate of how many different values there are; of these the least and the greatest."""
    if found.min is None or found.max is None:
        return found
    return replace(
        found,
        unique=estimated_unique(array),
        unique_estimated=True,
        unique_head=(found.min,),
        unique_tail=(found.max,),
    )
