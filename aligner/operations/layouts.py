"""The one layout that parameters have whatever a framework stores: what each axis of each parameter is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Axes = tuple[str, ...]

_MATRIX = ("out", "in")
_CELL = ("direction", "out", "in")
_VECTOR = ("out",)

LAYOUTS: Mapping[str, Mapping[str, Axes]] = MappingProxyType(
    {
        "conv": {"kernel": ("out", "in", "*spatial"), "bias": _VECTOR},
        "conv_transpose": {"kernel": ("in", "out", "*spatial"), "bias": _VECTOR},
        "matmul": {"kernel": _MATRIX},
        "recurrent": {"w": _CELL, "r": _CELL, "b": _CELL[:2], "rb": _CELL[:2]},
    }
)
"""Kind → parameter → its axes; of grouped kernels "in" (transposed: "out") is what one group has.

What is not listed has the model's own layout: tables, masks, slopes, the bias of a matrix product (it broadcasts).
"""


def axis_of(kind: str, role: str, name: str) -> int | None:
    """Where an axis of a parameter stands, None where the kind's parameter has none of that name."""
    axes = LAYOUTS.get(kind, {}).get(role, ())
    return axes.index(name) if name in axes else None
