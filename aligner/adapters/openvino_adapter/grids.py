"""FakeQuantize as what it stands for: numbers stored in few bits, and read back.

The runtime computes both at once, and shows what was read back. What would have been stored follows from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.records.array import Array
from aligner.records.graph import Quantization

STORED = -1
"""In the place of a result's number: what a FakeQuantize would store."""
_MOST = 256
"""Levels of eight bits."""
_WHOLE = 2.0**-12
"""A zero point of up to 256 levels, made of two float32 limits, is off by a few units of 2⁻²⁴ times that."""


def grid_of(op: Any) -> Quantization | None:
    """The grid of a FakeQuantize of constant limits that reads and gives the same range; None of any other layer."""
    if op.get_type_name() != "FakeQuantize":
        return None
    sources = [op.input_value(place).get_node() for place in range(1, 5)]
    if any(source.get_type_name() != "Constant" for source in sources):
        return None
    levels = int(op.get_attributes()["levels"])
    return grid_between([source.data for source in sources], levels, op.input(0).get_partial_shape().rank)


def grid_between(limits: list[Array], levels: int, rank: Any) -> Quantization | None:
    """Scale and zero point of (low, high, the same for what is given); None where these tell of no grid of 8 bits."""
    low, high, out_low, out_high = (np.asarray(limit, np.float64) for limit in limits)
    same = np.array_equal(low, out_low) and np.array_equal(high, out_high) and low.shape == high.shape
    if not same or levels > _MOST or not (high > low).all():
        return None
    scale = (high - low) / (levels - 1)
    zero = -low / scale
    whole = np.rint(zero)
    long = [axis for axis, size in enumerate(low.shape) if size > 1]
    fits = np.abs(zero - whole).max() <= _WHOLE and whole.min() >= 0 and whole.max() <= _MOST - 1
    if not fits or len(long) > 1 or (long and rank != low.ndim):
        return None
    numbers = tuple(int(number) for number in whole.reshape(-1))
    return Quantization(tuple(float(number) for number in scale.reshape(-1)), numbers, long[0] if long else None)


def stored(read: Array, grid: Quantization) -> Array:
    """The integers that were read back as these numbers."""
    found = grid.quantize(read, np.dtype(np.uint8))
    found.flags.writeable = False
    return found
