"""How far a weight may be from itself once it is quantised: what each format's own grid allows.

A group of numbers is rounded to the nearest of evenly spaced values, half a step away at most. Where the grid is
centred on zero, one end may be cut off, a whole step away. A step is itself kept in few bits, ``kept`` values in all:
the largest code is off by as many parts of a step as there are codes to a value of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """``group`` numbers share a step, ``block`` numbers what steps are kept in; ``codes`` is the largest code.

    ``centred``: codes run from −codes to codes and the step is the largest magnitude by ``codes``; else from 0, and the
    step is the range by ``codes``.
    """

    group: int
    block: int
    codes: int
    centred: bool
    kept: int

    def limits(self, numbers: Numbers) -> Numbers:
        """The largest root mean square error of each block."""
        groups = numbers.reshape(-1, self.block // self.group, self.group)
        high, low = np.maximum(groups.max(2), 0), np.minimum(groups.min(2), 0)
        extent = np.maximum(high, -low) if self.centred else high - low
        step = extent.max(1) / self.codes
        return np.asarray(step * ((1.0 if self.centred else 0.5) + self.codes / self.kept), np.float32)


_HALF = 2**11
"""Values that float16 keeps apart in one octave, twice."""
GRIDS = {
    "Q4_0": Grid(32, 32, 8, True, _HALF),
    "Q5_0": Grid(32, 32, 16, True, _HALF),
    "Q8_0": Grid(32, 32, 127, True, _HALF),
    "Q4_1": Grid(32, 32, 15, False, _HALF),
    "Q5_1": Grid(32, 32, 31, False, _HALF),
    "Q2_K": Grid(16, 256, 3, False, 15),
    "Q3_K": Grid(16, 256, 4, True, 31),
    "Q4_K": Grid(32, 256, 15, False, 63),
    "Q5_K": Grid(32, 256, 31, False, 63),
    "Q6_K": Grid(16, 256, 32, True, 127),
}
"""ggml's formats (ggml-common.h): elements of a group, of a super-block, codes, and the bits of scales."""


def within(grid: Grid, floats: Numbers, found: Numbers) -> bool:
    """Whether every block of the quantised numbers is as near to the floats as its grid allows."""
    if floats.shape[-1] % grid.block:
        return False
    error = (floats.astype(np.float64) - found).reshape(-1, grid.block)
    return bool((np.sqrt(np.square(error).mean(1)) <= grid.limits(floats) + np.finfo(np.float32).tiny).all())
