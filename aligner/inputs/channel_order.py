"""One side's cache that is the other's but for one order of channels, as of rotary positions in halves and in pairs."""

from __future__ import annotations

import numpy as np

from aligner.inputs.decoding import carried
from aligner.numerics.rounding import unit
from aligner.numerics.written_type import written_from
from aligner.records.array import Array
from aligner.records.steps import ChannelOrder


def channel_order(reference: Array, candidate: Array) -> ChannelOrder | None:
    """The order of channels, the reference's last axis, that makes one cache the other at all heads and positions.

    None where the channels lie alike, and where no order leaves less than half of the digits (√ε of the largest
    magnitude): whether what it leaves is rounding is judged as of any output.
    """
    axes = carried(reference, candidate)
    if axes is None or not reference.size:
        return None
    plain = ChannelOrder(axes, tuple(range(reference.shape[-1])))
    # columns are channels, rows everything else: one order holds for all rows, as it is made from all of them
    ours, theirs = (
        array.astype(np.float64).reshape(-1, reference.shape[-1])
        for array in (reference, plain.to_reference(candidate))
    )
    coarser = max(unit(written_from(array) or array.dtype.name) for array in (reference, candidate))
    limit = float(np.sqrt(2 * coarser)) * float(np.abs(ours).max())
    if not np.isfinite(theirs).all() or not np.isfinite(limit) or np.abs(ours - theirs).max() <= limit:
        return None
    channels = _nearest(ours, theirs)
    return ChannelOrder(axes, channels) if np.abs(ours[:, channels] - theirs).max() <= limit else None


def _nearest(ours: Array, theirs: Array) -> tuple[int, ...]:
    """For each of their columns the nearest of ours that is not taken: equal ones, as of zeros, go in turn."""
    squares = [(array**2).sum(0) for array in (ours, theirs)]
    apart = squares[1][:, None] + squares[0][None] - 2 * theirs.T @ ours
    found: list[int] = []
    for row in apart:
        found.append(int(row.argmin()))
        apart[:, found[-1]] = np.inf
    return tuple(found)
