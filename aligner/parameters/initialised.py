"""Whether a weight was never loaded: what a framework's initialiser draws looks like nothing that training leaves."""

from __future__ import annotations

import math

import numpy as np

from aligner.records.array import Array

_FEW = 64
"""Numbers from which a kurtosis says anything: its deviation, √(24 / n), is 0.6 there, half of what tells 1.8 from
3."""
_SAMPLE = 1 << 20
"""Elements that are looked at."""


def looks_initialised(array: Array, rank: int | None = None) -> bool:
    """Whether numbers look drawn by a framework's initialiser: all 0 or 1, or uniform or normal about zero.

    A uniform draw on ±a has kurtosis 1.8 and a largest magnitude close to a; a normal one has kurtosis 3; trained
    kernels have heavier tails. Small tensors and vectors cannot tell and count as not initialised unless constant.
    Of a large array every n-th element is looked at; ``rank`` is the weight's own where the array has been flattened.
    """
    flat = array.reshape(-1)
    flat = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
    if np.all(flat == 0) or np.all(flat == 1):
        return True
    if flat.size < _FEW or (array.ndim if rank is None else rank) < 2 or not np.isfinite(flat).all():
        return False
    spread = float(flat.std())
    if spread == 0 or abs(float(flat.mean())) > 4 * spread / math.sqrt(flat.size):
        return False
    kurtosis = float(np.mean(((flat - flat.mean()) / spread) ** 4))
    sampling = 4 * math.sqrt(24 / flat.size)
    uniform = abs(kurtosis - 1.8) < max(0.1, sampling / 2) and float(np.abs(flat).max()) <= 1.1 * spread * math.sqrt(3)
    return uniform or abs(kurtosis - 3.0) < max(0.2, sampling)
