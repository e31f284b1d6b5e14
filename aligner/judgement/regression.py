"""How much of a change is in an error, by regression: whether what makes the change is what makes the error."""

from __future__ import annotations

import numpy as np

from aligner.records.array import Array

SURE = 4.0
"""Standard errors that stand for what may be."""
LACKED = 0.25
"""Share of what a factor changes that another side holds at most to lack it, with four standard errors: half of the way
to half of it."""


def regression(change: Array, error: Array) -> tuple[float, float] | None:
    """The share of a change that is in an error of its shape, and its standard error; None of what has no numbers.

    Roundings of stored numbers are those of their channel, so that its elements count as one.
    """
    if not change.ndim:
        return None
    longest = int(np.argmax(change.shape))
    rows = [np.moveaxis(one, longest, 0).reshape(change.shape[longest], -1) for one in (change, error)]
    shared, own = (rows[0] * rows[1]).sum(1), (rows[0] ** 2).sum(1)
    if not 0 < own.sum() < np.inf or not np.isfinite(shared).all():
        return None
    share = float(shared.sum() / own.sum())
    return share, float(np.sqrt(((shared - share * own) ** 2).sum()) / own.sum())


def lacks(target: Array, whole: Array, without: Array) -> bool:
    """Whether numbers hold nothing of what a factor changes: surer the more channels there are."""
    if not target.shape == whole.shape == without.shape:
        return False
    found = regression(whole - without, target - without)
    return found is not None and abs(found[0]) + SURE * found[1] <= LACKED
