"""Operations of two tensors, element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aligner.operations.operation import Operation, computes, computes_by, wide
from aligner.operations.settings import Compare
from aligner.records.array import Array


def _binary() -> dict[str, Callable[[Array, Array], Array]]:
    return {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "pow": np.power,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "floor_divide": np.floor_divide,
        "trunc_divide": lambda a, b: np.trunc(np.divide(a, b)),
        "remainder": np.mod,
        "fmod": np.fmod,
        "squared_difference": lambda a, b: np.square(a - b),
        "atan2": np.arctan2,
        "hypot": np.hypot,
        "logaddexp": np.logaddexp,
        "copysign": np.copysign,
        "xlogy": lambda a, b: np.where((a == 0) & ~np.isnan(b), 0.0, a * np.log(b)),
        "logical_and": np.logical_and,
        "logical_or": np.logical_or,
        "logical_xor": np.logical_xor,
        "bitwise_and": np.bitwise_and,
        "bitwise_or": np.bitwise_or,
        "bitwise_xor": np.bitwise_xor,
        "shift_left": np.left_shift,
        "shift_right": np.right_shift,
    }


BINARY = frozenset(
    """add sub mul div pow maximum minimum floor_divide trunc_divide remainder fmod squared_difference atan2 hypot
    logaddexp copysign xlogy logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor shift_left
    shift_right""".split()
)
"""Kinds of operation of two tensors."""


@computes(*BINARY)
def combine(operation: Operation) -> Array:
    """Element by element, broadcast from the last axis."""
    left, right = (wide(operand) for operand in operation.data)
    return _binary()[operation.kind](left, right)


@computes_by(Compare, "compare")
def compare(operation: Operation, settings: Compare) -> Array:
    """True and false. A number that is written out is as wide as what it is compared with."""
    left, right = operation.data
    if right.size == 1 and left.dtype.kind == "f":
        right = right.astype(left.dtype)
    result: Array = getattr(np, settings.form)(left, right)
    return result
