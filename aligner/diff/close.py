"""Two tensors that are close, of which one is known already: the fewest passes over memory."""

from __future__ import annotations

import math

import numpy as np

from aligner.diff.errors import CANCELLED, SPACE, TINY, ErrorAccumulator, cosine
from aligner.numerics.blocks import BLOCK, dot
from aligner.numerics.masking import MASKED
from aligner.records.alignment import Sketch
from aligner.records.array import Array
from aligner.records.difference import Difference


def closely(
    reference: Array, candidate: Array, known: Sketch, setting: tuple[tuple[int, ...], float, float]
) -> Difference | None:
    """Errors of two flat float32 arrays; ``setting`` is their shape, atol and rtol.

    None where a closer look is needed: something is masked or not finite, or a sum cannot be told precisely.
    """
    peak = max(abs(known.min), abs(known.max))
    if not known.finite or not peak < -MASKED or not known.rms**2 > TINY:
        return None
    (shape, atol, rtol), size = setting, reference.size
    own = known.rms**2 * size
    errors = ErrorAccumulator(atol, rtol)
    sums = _sums(reference, candidate, errors)
    if sums is None:
        return None
    squares, cross = sums
    theirs = own + 2 * cross + squares
    if not theirs > CANCELLED * (own + squares):
        return None
    return Difference(
        errors=errors.result(shape, size, math.sqrt(squares / size), cosine(own + cross, own, theirs)),
        scale=known.rms,
        peak=peak,
        size=size,
        unequal=errors.unequal,
        gain=cross / own,
    )


def _sums(reference: Array, candidate: Array, errors: ErrorAccumulator) -> tuple[float, float] | None:
    """δ² and r·δ; None where they are lost."""
    squares = cross = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, reference.size, BLOCK):
            left, right = reference[start : start + BLOCK], candidate[start : start + BLOCK]
            delta = np.subtract(right, left, out=SPACE.buffer("delta", left.size, left.dtype))
            here = dot(delta, delta)
            if not math.isfinite(here):
                return None
            if here < TINY:
                if delta.any():
                    return None
                errors.skip(delta.size)
                continue
            squares += here
            cross += dot(left, delta)
            errors.update(left, right, delta, np.abs(left, out=SPACE.buffer("size", left.size, left.dtype)))
    return squares, cross
