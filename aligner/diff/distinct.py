"""How many different values a large tensor holds, told from a sample of its elements."""

from __future__ import annotations

import functools

import numpy as np

from aligner.records.array import Array

SAMPLE = 1 << 11
"""Elements looked at."""
_FREQUENT = 50
"""A value seen that often is counted as it is: zeros after a ReLU tell nothing about the others."""


def estimated_unique(array: Array) -> int | None:
    """About how many different finite values a real array of more than ``SAMPLE`` elements holds; None where none does.

    Frequent values are set apart, the first-order jackknife tells the number of the others: few levels are counted
    exactly, values of which each occurs once come out as their number. In between it may be off by a factor of a few;
    values that occur only a few times among millions look as if each occurred once. (Haas and Stokes, "Estimating the
    number of classes in a finite population", JASA 93, 1998: Duj2a.)
    """
    sample = _sampled(array)
    if sample.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    sample.sort()
    starts = np.flatnonzero(sample[1:] != sample[:-1]) + 1
    counts = np.diff(starts, prepend=0, append=sample.size)
    others = counts[counts < _FREQUENT]
    frequent = counts.size - others.size
    seen, once = int(others.sum()), int(np.count_nonzero(others == 1))
    if not seen:
        return frequent
    share = SAMPLE / array.size
    return frequent + round(others.size / (1 - (1 - share) * once / seen))


def _sampled(array: Array) -> Array:
    """One element from each of as many stretches of equal length; at random, so that no period of the layout is hit."""
    places = (_places() * (array.size / SAMPLE)).astype(np.int64)
    if array.flags.c_contiguous:
        return array.reshape(-1)[places]
    return array[np.unravel_index(places, array.shape)]


@functools.lru_cache(maxsize=1)
def _places() -> Array:
    return np.arange(SAMPLE) + np.random.default_rng(0).random(SAMPLE)
