"""Windows that slide over spatial axes, as nodes say them: strides, dilations, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aligner.operations.call import Call

    Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One number for each spatial axis; ``pads`` is None where the node says none."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pairs | None

    @property
    def padding(self) -> Pairs:
        """The pads; none where none are said."""
        return self.pads or ((0, 0),) * len(self.strides)


def window_of(call: Call, sizes: Sequence[int], kernel: tuple[int, ...], automatic: str) -> Window:
    """What a node's attributes say; ``automatic`` may be a word for SAME, which speaks of a tensor of these sizes."""
    rank = len(kernel)
    strides, dilations = (spread(call.attributes.get(name), rank, 1) for name in ("strides", "dilations"))
    pads = pairs_of(call.attributes.get("pads"), rank)
    if pads is None and automatic.startswith("same"):
        pads = same_pads(sizes, kernel, strides, dilations, upper=automatic != "same_lower")
    return Window(strides, dilations, pads)


def spread(value: Any, rank: int, default: int) -> tuple[int, ...]:
    """One number for each spatial axis: 2 → (2, 2); the default where nothing is said."""
    if isinstance(value, int):
        return (int(value),) * rank
    if isinstance(value, tuple) and value:
        return tuple(int(v) for v in value) * (rank if len(value) == 1 and rank > 1 else 1)
    return (default,) * rank


def pairs_of(value: Any, rank: int) -> tuple[tuple[int, int], ...] | None:
    """Explicit (begin, end) for each axis, None where that is not what is said."""
    if isinstance(value, tuple) and len(value) == rank and all(isinstance(p, tuple) and len(p) == 2 for p in value):
        return tuple((int(begin), int(end)) for begin, end in value)
    return None


def same_pads(sizes: Any, kernel: Any, strides: Any, dilations: Any, *, upper: bool) -> tuple[tuple[int, int], ...]:
    """What SAME means for these sizes; the odd one goes to the end when ``upper``."""
    pads = []
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size, 0)
        pads.append((total // 2, total - total // 2) if upper else (total - total // 2, total // 2))
    return tuple(pads)
