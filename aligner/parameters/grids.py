"""How far a weight may be from itself once it is quantised: what each format's own grid allows.

A group of numbers is rounded to the nearest of evenly spaced values, half a step away at most. Where the grid is
centred on zero, one end may be cut off, a whole step away. A step is itself kept in few bits, ``kept`` values in all:
the largest code is off by as many parts of a step as there are codes to a value of it. An infinite ``kept`` is exact.
"""

from __future__ import annotations

from math import inf

import numpy as np

from aligner.records.array import Single
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """``group`` numbers share a step, ``block`` numbers what steps are kept in; ``codes`` is the largest code.

    ``centred``: codes run from −codes to codes and the step is the largest magnitude by ``codes``; else from 0, and the
    step is the range by ``codes``. Grids of uneven steps go by the largest error that they leave, as a part of the
    largest magnitude. ``held``: how many numbers are held against the limit together, a group where nothing is said.
    """

    group: int
    block: int
    codes: float
    centred: bool
    kept: float
    held: int = 0

    def limits(self, numbers: Single) -> Single:
        """The largest root mean square error of what is held together."""
        groups = numbers.reshape(-1, self.block // self.group, self.group)
        high, low = np.maximum(groups.max(2), 0), np.minimum(groups.min(2), 0)
        extent = np.maximum(high, -low) if self.centred else high - low
        step = extent / self.codes
        largest = step.max(1, keepdims=True)
        limits = (step * (1.0 if self.centred else 0.5) + largest * self.codes / self.kept).reshape(-1)
        return np.asarray(limits.reshape(-1, self.together // self.group).max(1) + self._lost, np.float32)

    @property
    def together(self) -> int:
        """How many numbers are held against one limit."""
        return self.held or self.group

    @property
    def _lost(self) -> float:
        """What numbers lose whose step float16 cannot hold: half its smallest, times the codes that stand on it."""
        if self.kept == inf:
            return 0.0
        return (self.codes + 1) * (self.kept if self.block > self.group else 1) * 2.0**-25


_HALF = 2**11
"""Values that float16 keeps apart in one octave, twice."""
_IQ4 = 127 / 14
"""Of codes from −127 to 113 the opposite end is cut off by 14; the widest gap leaves 12."""
_E2M1 = 4
"""Of codes up to 6 times a power of two, the largest magnitude is from 4 to 8: cut off, or in the gap, by a quarter."""
GRIDS = {
    "Q4_0": Grid(32, 32, 8, True, _HALF),
    "Q5_0": Grid(32, 32, 16, True, _HALF),
    "Q8_0": Grid(32, 32, 127, True, _HALF),
    "Q4_1": Grid(32, 32, 15, False, _HALF),
    "Q5_1": Grid(32, 32, 31, False, _HALF),
    "Q2_K": Grid(16, 256, 3, False, 15, 256),  # fitted by |x|, which leaves zeros to lie anywhere in their group
    "Q3_K": Grid(16, 256, 4, True, 31),
    "Q4_K": Grid(32, 256, 15, False, 63),
    "Q5_K": Grid(32, 256, 31, False, 63),
    "Q6_K": Grid(16, 256, 32, True, 127),
    "IQ4_NL": Grid(32, 32, _IQ4, True, _HALF),
    "IQ4_XS": Grid(32, 256, _IQ4, True, 31, 256),
    "MXFP4": Grid(32, 32, _E2M1, True, inf),
    "TQ1_0": Grid(256, 256, 2, True, _HALF),  # −1, 0, 1: half the largest magnitude is a whole step of two
    "TQ2_0": Grid(256, 256, 2, True, _HALF),
}
"""ggml's formats (ggml-common.h): elements of a group, of a super-block, codes, and the values of scales. What
llama.cpp's own quantisers leave of numbers of many distributions is within (``tests/test_gguf_formats.py``)."""


def within(grid: Grid, floats: Single, found: Single) -> bool:
    """Whether the quantised numbers are everywhere as near to the floats as their grid allows."""
    if floats.shape[-1] % grid.block:
        return False
    error = (floats.astype(np.float64) - found).reshape(-1, grid.together)
    return bool((np.sqrt(np.square(error).mean(1)) <= grid.limits(floats) + np.finfo(np.float32).tiny).all())
