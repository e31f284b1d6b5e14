"""Windows that slide over spatial axes, as nodes say them: strides, dilations, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from aligner.operations.call import Call
from aligner.operations.settings.base import Pairs
from aligner.records.dataclass import dataclass

T = TypeVar("T")


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


def cropping(
    call: Call,
    sizes: Sequence[int],
    kernel: tuple[int, ...],
    window: Window,
    extra: tuple[int, ...],
    *,
    more_before: bool,
) -> Pairs:
    """What a transposed convolution crops, so that its result has the shape it was seen to have.

    ``sizes`` are those of its input; of an odd number one more goes before, or behind.
    """
    pads = []
    axes = zip(sizes, kernel, window.strides, window.dilations, extra, call.need_shape()[2:], strict=True)
    for size, length, stride, dilation, more, wanted in axes:
        total = stride * (size - 1) + more + (length - 1) * dilation + 1 - wanted
        if total < 0:
            raise call.unknown("a result longer than the kernel reaches")
        pads.append(halved(total, more_behind=not more_before))
    return tuple(pads)


def halved(total: int, *, more_behind: bool) -> tuple[int, int]:
    """A padding split between both ends; of an odd number one more goes to the one or to the other."""
    small = total // 2
    return (small, total - small) if more_behind else (total - small, small)


def missing(
    call: Call, sizes: Sequence[int], wanted: Sequence[int], kernel: tuple[int, ...], window: Window
) -> tuple[int, ...]:
    """What a transposed convolution, cropped as it is, lacks at the end of each axis."""
    extra = tuple(
        size - ((own - 1) * stride + length - begin - end)
        for own, size, stride, length, (begin, end) in zip(
            sizes, wanted, window.strides, kernel, window.padding, strict=True
        )
    )
    if min(extra) < 0:
        raise call.unknown("a result shorter than its padding leaves")
    return extra


def over_axes(rank: int, axes: Sequence[int], values: Sequence[T], default: T) -> tuple[T, ...]:
    """One value for each of ``rank`` axes, of which these have one of their own."""
    every = [default] * rank
    for axis, value in zip(axes, values, strict=True):
        every[int(axis) % rank] = value
    return tuple(every)


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
        pads.append(halved(total, more_behind=upper))
    return tuple(pads)
