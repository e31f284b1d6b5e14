"""The step of numbers that were codes of few bits before they were written as float32, as devices of int8 do."""

from __future__ import annotations

import numpy as np

from aligner.records.array import Array

OWN_STEPS = 1.5
"""Quantisation steps that a tensor in few bits may lie off: half a one by rounding, one by what it is made of."""
TELLING = 16
"""Different numbers by which a step is told; with _FARTHEST, all are multiples by chance once in 2¹⁴ times."""
_FARTHEST = 0.25
"""Steps by which rounding may move a number off its multiple before it tells nothing."""
_LOOKED_AT = 1 << 12
"""Elements of a first look, which most tensors do not pass."""
_MOST_STEPS = (1 << 16) - 1
"""Steps between the least and the greatest of 16 bits."""
_MOST_OF_8 = 255
"""Steps from zero to the greatest of 8 bits."""
_ROUNDING = 2.0**-22
"""A code times its scale, and both of them, are rounded to float32."""


def step_of(array: Array) -> float | None:
    """The step of which all float32 numbers are multiples, as many as 16 bits count; None where there is none.

    Zero is a code wherever codes stand for real numbers, so that an offset of codes is a multiple, too.
    """
    if array.dtype != np.float32 or not np.isfinite(array).all():
        return None
    flat = array.ravel()
    if _step(np.unique(flat[:: max(1, flat.size // _LOOKED_AT)])) is None:
        return None
    return _step(np.unique(flat))


def step_of_few(array: Array) -> float | None:
    """The step of numbers that are known to be codes of 8 bits, where they are too few to tell it by their distances.

    It is what most of them count up to: with two numbers besides zero one is found by chance once in 64 times.
    """
    if not np.isfinite(array).all():
        return None
    levels = np.unique(np.abs(array.astype(np.float64)))
    levels = levels[levels > 0]
    if not 2 <= levels.size <= _MOST_OF_8:
        return None
    counts = np.arange(1, _MOST_OF_8 + 1)[:, None]
    codes = levels / levels[-1] * counts
    fitting = (np.abs(codes - np.rint(codes)) <= _ROUNDING * counts).all(axis=1)
    return float(levels[-1] / (np.argmax(fitting) + 1)) if fitting.any() else None


def _step(levels: Array) -> float | None:
    """The smallest distance of levels, where all of them are multiples of it."""
    if not TELLING <= levels.size <= _MOST_STEPS:
        return None
    wide = levels.astype(np.float64)
    span, step = float(wide[-1] - wide[0]), float(np.diff(wide).min())
    reach = 2.0
    while step > 0 and span / step <= 2 * _MOST_STEPS:
        near = wide[np.abs(wide) <= reach * step]
        codes = np.rint(near / step)
        if codes.any():
            step = float(near @ codes / (codes @ codes))  # greater multiples tell it to more digits
        if near.size == wide.size:
            allowed = _ROUNDING * float(np.abs(wide).max()) / step
            fits = allowed < _FARTHEST and bool((np.abs(wide / step - codes) <= allowed).all())
            return step if fits and span / step <= _MOST_STEPS else None
        reach *= 2
    return None
