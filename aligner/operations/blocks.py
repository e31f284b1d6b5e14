"""Blocks of places moved into channels and back: a reshape, a transposition and a reshape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aligner.operations.settings import Blocks

Sizes = tuple[int, ...]


def written_out(settings: Blocks, shape: Sequence[int]) -> tuple[Sizes, Sizes, Sizes]:
    """The sizes to split into, the axes in their new order, and the sizes after merging, for a tensor of rank 4."""
    first, block = settings.channels == "first", settings.block
    n, c, h, w = shape if first else (shape[0], shape[3], shape[1], shape[2])
    within = block * block
    if settings.inverse:
        h, w = h // block, w // block
    else:
        c = c // within
    sizes = {"n": n, "c": c, "h": h, "y": block, "w": w, "x": block}
    channel = "cyx" if settings.order == "CRD" else "yxc"
    deep, wide = (
        (("n", channel, "h", "w"), ("n", "c", "hy", "wx"))
        if first
        else (
            ("n", "h", "w", channel),
            ("n", "hy", "wx", "c"),
        )
    )
    source, target = ("".join(wide), deep) if settings.inverse else ("".join(deep), wide)
    return (
        tuple(sizes[axis] for axis in source),
        tuple(source.index(axis) for axis in "".join(target)),
        tuple(prod(sizes[axis] for axis in group) for group in target),
    )
