"""A change as large as the one at hand, and of nothing that it has in common with the model."""

from __future__ import annotations

import numpy as np

from aligner.records.array import Array
from aligner.regions.culprit import peak

SEEN = 2.0
"""How far past its limit an exit must go for a change inside to count as seen there: the limit holds a fault and the
rounding of the rest, each of which may fill it."""
UNDONE = 0.5
"""Share of its own error that a reader may keep when fed with another tensor, to be taken for put right by it: an error
that has nothing to do with the tensor adds to it and leaves none smaller. Likewise, where a region is left, of what a
change as large as that inside it would do there."""


def changed_as_much(found: Array, expected: Array) -> Array:
    """``found``, off at random places by what it is off from ``expected``, either way."""
    with np.errstate(all="ignore"):
        apart = found.astype(np.float64) - expected.astype(np.float64)
    # what is infinite on one side alone counts as the largest number
    apart = np.where(np.isfinite(apart), apart, max(peak(found), peak(expected)))
    generator = np.random.default_rng(0)
    shuffled = generator.permutation(apart.reshape(-1)) * generator.choice((-1.0, 1.0), apart.size)
    with np.errstate(all="ignore"):
        base = np.where(np.isfinite(found), found, expected)
        changed: Array = (base + shuffled.reshape(found.shape)).astype(found.dtype)
    return changed
