"""Sums over blocks that fit a core's cache: each row in its own precision, rows added up in float64."""

from __future__ import annotations

import functools
import math
import threading
from typing import TYPE_CHECKING

import numpy as np

from aligner.records.array import Array

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

BLOCK = 1 << 18
"""Elements of a block."""
ROW = 1 << 13
"""Elements of a row: few enough for a BLAS not to wake its threads, which would keep a core busy waiting for more."""
_SHIFT = 13
"""Bits that float32's fraction has more than float16's."""
_MOVED = ~0x70001FFF
"""What is left of a number that was shifted with its sign before it: the sign itself, five bits of exponent, ten."""
_SHORT = 1 << 11
"""Elements that are summed up in their own precision."""


def dot(left: Array, right: Array) -> float:
    """The inner product of two flat, contiguous arrays of one float dtype; infinite where it outgrows that."""
    whole = left.size - left.size % ROW
    with np.errstate(all="ignore"):
        total = float(left[whole:] @ right[whole:])
        if whole:
            rows = left[:whole].reshape(-1, 1, ROW), right[:whole].reshape(-1, ROW, 1)
            total += float(np.matmul(*rows).sum(dtype=np.float64))
    return total


def norm(array: Array) -> float:
    """The Euclidean norm of an array of one float dtype, of its elements alone."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return math.sqrt(dot(flat, flat))


def total(array: Array) -> float:
    """The sum of a flat, contiguous array; one that float32 cannot hold (a mask of −3.4·10³⁸) is summed in float64."""
    if array.dtype.char not in "fd":
        return float(array.sum())
    found = weighted(array, _ones(_SHORT, array.dtype.char))
    return found if math.isfinite(found) else _wide(array)


def _wide(array: Array) -> float:
    with np.errstate(all="ignore"):
        return float(array.sum(dtype=np.float64))


def weighted(array: Array, weights: Array, rows: Array | None = None) -> float:
    """The sum of a flat, contiguous float array, its elements weighted by their place in a row, rows by ``rows``.

    ``weights``: one for each of a row's elements, in the array's dtype.
    """
    whole = array.size - array.size % weights.size
    with np.errstate(all="ignore"):
        sums = array[:whole].reshape(-1, weights.size) @ weights
        rest = array[whole:] @ weights[: array.size - whole]
        if rows is None:
            return float(sums.sum(dtype="float64")) + float(rest)
        return float(sums @ rows[: sums.size]) + float(rest) * float(rows[sums.size])


def single(half: Array, bits: Array) -> Array:
    """Flat float16 numbers as float32, in ``bits`` (int32 of their number); what is not finite lies beyond ±65504.

    Sign, exponent and fraction are shifted into place, and 2¹¹² makes up for what the exponents start from, also below
    the normal numbers. In whole vectors; numpy's own conversion takes one number after the other.
    """
    np.left_shift(half.view(np.int16), _SHIFT, out=bits, dtype=np.int32)
    np.bitwise_and(bits, _MOVED, out=bits)
    found: Array = bits.view(np.float32)
    found *= np.float32(2.0**112)
    return found


class Workspace(threading.local):
    """Arrays for what is computed block by block, each thread's own; an allocator would ask for new pages for each."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], Array] = {}

    def buffer(self, use: str, size: int, dtype: DTypeLike) -> Array:
        """An array of that many elements with arbitrary content, the same one each time for one use."""
        key = use, np.dtype(dtype).char
        if key not in self._arrays or self._arrays[key].size < size:
            self._arrays[key] = np.empty(size, dtype)
        return self._arrays[key][:size]


@functools.lru_cache(maxsize=8)
def _ones(size: int, kind: str) -> Array:
    return np.ones(size, kind)
