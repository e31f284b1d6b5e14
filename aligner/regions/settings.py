"""Settings of two operations against each other, as far as two layouts of one model spell them alike."""

from __future__ import annotations

from typing import Any

from aligner.operations.kinds import CONVOLUTIONS
from aligner.operations.operation import Operation

UNCOMPARED = frozenset(
    "channels axis axes shape scales linear merged keep directions gates layout range inverse".split()
)
"""Settings that two layouts of one model spell differently."""


def in_pieces(operation: Operation, other: Operation) -> bool:
    """Whether one of two convolutions works on pieces of the other's image: its settings are for those."""
    shapes = [one.data[0].shape for one in (operation, other) if one.kind in CONVOLUTIONS and one.data]
    return len(shapes) == 2 and bool(shapes[0] and shapes[1]) and shapes[0][0] != shapes[1][0]


def alike(left: Any, right: Any) -> bool:
    """Equal, numbers up to a float32 copy of a decimal."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(alike(a, b) for a, b in zip(left, right, strict=True))
    if hasattr(left, "shape") or hasattr(right, "shape"):
        return left is right
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    if numbers and (isinstance(left, float) or isinstance(right, float)):
        return bool(left == right or abs(left - right) <= 1e-3 * max(abs(left), abs(right)))
    return bool(left == right)
