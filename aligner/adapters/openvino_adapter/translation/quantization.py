"""Numbers rounded to a grid of levels, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _fake_quantize(call: Call) -> Operation:
    """Operands input, and the limits of what is read and of what is given: a grid is known where these are the same."""
    import numpy as np

    x, levels = call.need(0), call.integer("levels")
    low, high, out_low, out_high = (call.need(place).astype(np.float64) for place in range(1, 5))
    if not (np.array_equal(low, out_low) and np.array_equal(high, out_high)):
        raise call.unknown("another range behind than before")
    axis = _axis(call, x, low, high)
    scale = (high - low) / (levels - 1)
    zero = -low / scale
    parameters = {"scale": scale.reshape(-1), "zero": zero.reshape(-1)}
    if np.abs(zero - np.rint(zero)).max() > _WHOLE:
        raise call.unknown("zero between two levels")
    parameters["zero"] = np.rint(parameters["zero"])
    return Operation("quantize", Quantize(axis=axis, limits=(0, levels - 1), stored=False), (x,), parameters)


_WHOLE = 2.0**-12
"""A zero point of up to 256 levels, made of two float32 limits, is off by a few units of 2⁻²⁴ times that."""


def _axis(call: Call, x: Array, *limits: Array) -> int | None:
    long = {x.ndim - each.ndim + place for each in limits for place, size in enumerate(each.shape) if size > 1}
    if len(long) > 1 or any(each.size != limits[0].size for each in limits):
        raise call.unknown("limits along several axes")
    return long.pop() if long else None


WORDS: Vocabulary = {"FakeQuantize": _fake_quantize}
