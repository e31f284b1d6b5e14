"""Where the channel axis stands, and which transposition carries one order of axes into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aligner.records.graph import Shape

Layout = Literal["first", "last"]
Axes = tuple[int, ...]

PICTURE_CHANNELS = (1, 3, 4)
"""Grey, RGB, RGBA: the sizes by which a channel axis is recognised."""
_LABELS = {(3, "first"): "CHW", (3, "last"): "HWC", (4, "first"): "NCHW", (4, "last"): "NHWC"}
_LABELS |= {(5, "first"): "NCDHW", (5, "last"): "NDHWC"}


def layout_label(rank: int, layout: Layout | None) -> str:
    """ "NCHW", "HWC" …; empty where the layout has no name."""
    return _LABELS.get((rank, layout), "") if layout else ""


def shape_text(shape: Sequence[int | None] | None) -> str:
    """1×3×?×?, "scalar" for rank 0, "any shape" when nothing is declared."""
    if shape is None:
        return "any shape"
    return "×".join("?" if size is None else str(size) for size in shape) if shape else "scalar"


def channel_axis(rank: int, layout: Layout) -> int:
    """Index of the channel axis; rank 3 has no batch axis."""
    return rank - 1 if layout == "last" else 0 if rank == 3 else 1


def spatial_axes(rank: int, layout: Layout) -> tuple[int, ...]:
    """Indices of the axes that are neither batch nor channels."""
    taken = {channel_axis(rank, layout)} | ({0} if rank > 3 else set())
    return tuple(axis for axis in range(rank) if axis not in taken)


def evident_layout(shape: Shape | None) -> Layout | None:
    """The layout that the sizes alone prove: exactly one of the two places holds 1, 3 or 4 channels.

    Rank 3 is taken for an unbatched picture and proves nothing with a single channel, which a batch of one looks like.
    No picture is lower or narrower than it has channels: heads of attention, [1, 2, 4, 4], are none.
    """
    if shape is None or len(shape) not in (3, 4, 5):
        return None
    first, last = (_holds_channels(shape, layout) for layout in ("first", "last"))
    return None if first == last else "first" if first else "last"


def _holds_channels(shape: Shape, layout: Layout) -> bool:
    rank = len(shape)
    channels, sizes = shape[channel_axis(rank, layout)], PICTURE_CHANNELS if rank > 3 else PICTURE_CHANNELS[1:]
    sides = [size for axis in spatial_axes(rank, layout)[-2:] if (size := shape[axis]) is not None]
    return channels is not None and channels in sizes and all(size >= channels for size in sides)


def may_be_grey(shape: Sequence[int | None]) -> bool:
    """Whether a last axis of one alone speaks for channels last: many a tensor that is no picture ends so."""
    return len(shape) in (4, 5) and shape[-1] == 1 and evident_layout(tuple(shape)) == "last"


def is_open(shape: Shape | None) -> bool:
    """Whether a declaration leaves every size but the batch's open."""
    return shape is None or (len(shape) > 1 and all(size is None for size in shape[1:]))


def move_channels(rank: int, source: Layout, target: Layout) -> Axes:
    """Axes for ``numpy.transpose`` from one layout to the other; batch first above rank 3."""
    axes = list(range(rank))
    if source != target:
        moved = axes.pop(channel_axis(rank, source))
        axes.insert(channel_axis(rank, target), moved)
    return tuple(axes)


def moves(rank: int) -> tuple[Axes, ...]:
    """Every change of layout that a rank allows; for rank 3 also [N, C, L] ↔ [N, L, C]."""
    if rank not in (3, 4, 5):
        return ()
    both = (move_channels(rank, "first", "last"), move_channels(rank, "last", "first"))
    return (*both, (0, 2, 1)) if rank == 3 else both


def permuted(shape: Sequence[int | None], axes: Axes) -> Shape:
    """The shape after ``numpy.transpose(…, axes)``."""
    return tuple(shape[axis] for axis in axes)


def fits(shape: Sequence[int | None], declared: Shape | None) -> bool:
    """Whether two shapes can be the same; an unknown size agrees with any."""
    if declared is None:
        return True
    if len(shape) != len(declared):
        return False
    return all(a == b or a is None or b is None for a, b in zip(shape, declared, strict=True))


def choose_axes(
    shape: Sequence[int | None], declared: Shape | None, source: Layout | None, target: Layout | None
) -> Axes | None:
    """The transposition that carries ``shape`` into a declared one; None when there is none.

    What the sizes force comes first; where they leave a choice, the two layouts decide (rank 4 and 5, where axes are
    batch, space and channels), and without them the order stays. Never "the best of all": only changes of layout.
    """
    rank = len(shape)
    identity = tuple(range(rank))
    options = [axes for axes in (identity, *moves(rank)) if fits(permuted(shape, axes), declared)]
    if rank in (4, 5) and source and target and (wanted := move_channels(rank, source, target)) in options:
        return wanted
    if identity in options:
        return identity
    return options[0] if len(options) == 1 else None


def between(reference: Axes, candidate: Axes) -> Axes | None:
    """Axes from the reference's order to the candidate's, given those from a common one to each; None when equal."""
    axes = tuple(reference.index(axis) for axis in candidate)
    return None if axes == tuple(range(len(axes))) else axes
