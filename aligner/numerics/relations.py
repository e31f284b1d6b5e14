"""How one array of numbers stands to another: the same, moved, coarser, scaled, related, or a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from aligner.numerics.blocks import dot, norm
from aligner.records.array import Array

SAME = 2e-6
"""Relative distance up to which two weights are the same numbers: folding in another order of float32 roundings."""
_ROUNDED = 1e-5
"""Relative distance that float32 makes of folding, scaling and their sums: some hundred units."""
_ROWS = 256
"""Rows whose distances are held at once."""
_FEWEST = 6
"""Numbers that do not all lie on levels by chance."""
_LEVELS = 127
"""Steps from zero to the largest number of eight bits."""
_ON_LEVEL = 0.02
"""Steps; what float32 makes of code times scale is 127 units of 10⁻⁷, what no grid made lies so near once in 25
times."""
_NEXT_LEVEL = 0.6
"""Steps; rounding moves half of one."""
_STRIP = 128
"""Columns."""


def gap(left: Array, right: Array) -> float:
    """‖right − left‖ / ‖left‖; infinite when the shapes differ."""
    if left.shape != right.shape:
        return float("inf")
    if left.dtype == right.dtype and _equal(left, right):
        return 0.0
    wide = left.astype(np.float64)
    return norm(right.astype(np.float64) - wide) / (norm(wide) or 1.0)


def _equal(left: Array, right: Array) -> bool:
    """Matrices that lie in memory by rows here and by columns there are read in strips that fit a cache."""
    if left.ndim != 2 or left.flags.c_contiguous == right.flags.c_contiguous:
        return bool(np.array_equal(left, right))
    strips = range(0, left.shape[1], _STRIP)
    return all(np.array_equal(left[:, at : at + _STRIP], right[:, at : at + _STRIP]) for at in strips)


def correlation(left: Array, right: Array) -> float:
    """Pearson's, of the elements in order."""
    a, b = (side.reshape(-1).astype(np.float64) for side in (left, right))
    a, b = a - a.mean(), b - b.mean()
    norms = norm(a) * norm(b)
    return dot(a, b) / norms if norms > 0 else 0.0


def one_factor(left: Array, right: Array) -> bool:
    """Whether one is the other times a number: scaled, as training scales nothing."""
    a, b = (side.reshape(-1).astype("float64") for side in (left, right))
    energy = dot(a, a)
    return energy > 0 and gap(a * dot(a, b) / energy, b) <= _ROUNDED


def same_numbers(left: Array, right: Array) -> bool:
    """Whether sorting makes the two equal."""
    return left.size == right.size and gap(np.sort(left, axis=None), np.sort(right, axis=None)) <= SAME


def kernel_moves(kernel: Array) -> Iterator[tuple[str, Array]]:
    """A kernel [out, in, *spatial] transposed, flipped and turned in every way that a converter mixes up."""
    spatial = tuple(range(2, kernel.ndim))
    swaps: list[tuple[str, Array]] = [("", kernel)]
    if kernel.ndim >= 2:
        swaps.append(("inputs and outputs swapped", kernel.swapaxes(0, 1)))
    for words, swapped in swaps:
        if words:
            yield words, swapped
        turns = [("", swapped)] + (
            [("height and width swapped", swapped.swapaxes(2, 3))] if kernel.ndim == 4 and kernel.size > 1 else []
        )
        for turned_words, turned in turns:
            if turned_words:
                yield _joined(words, turned_words), turned
            for flips in product((False, True), repeat=len(spatial)):
                axes = tuple(axis for axis, flip in zip(spatial, flips, strict=True) if flip)
                if axes:
                    yield _joined(words, turned_words, f"flipped along axis {axes}"), np.flip(turned, axes)


def _joined(*words: str) -> str:
    return " and ".join(word for word in words if word)


def permutation(left: Array, right: Array, axis: int, within: float = _ROUNDED) -> tuple[int, ...] | None:
    """The order of slices along an axis that makes ``left`` into ``right``, up to a gap; None where there is none."""
    if left.shape != right.shape or left.shape[axis] < 2 or left.shape[axis] > 8192:
        return None
    a, b = (np.moveaxis(side, axis, 0).reshape(side.shape[axis], -1).astype(np.float64) for side in (left, right))
    lengths = [np.linalg.norm(side, axis=1) for side in (a, b)]
    if gap(np.sort(lengths[0]), np.sort(lengths[1])) > within:
        return None
    order = _nearest_rows(a, b, lengths)
    if order is None or gap(a[list(order)], b) > within:
        return None
    return order if order != tuple(range(len(order))) else None


def _nearest_rows(a: Array, b: Array, lengths: list[Array]) -> tuple[int, ...] | None:
    """For each row of one matrix the nearest of the other, none of them twice, its own before others as near."""
    order: list[int] = []
    taken = np.zeros(len(a), bool)
    for start in range(0, len(b), _ROWS):
        stop = min(start + _ROWS, len(b))
        apart = lengths[0][None] ** 2 + lengths[1][start:stop, None] ** 2 - 2 * b[start:stop] @ a.T
        for number, row in enumerate(apart, start):
            if not np.isfinite(row).all():
                return None
            row[taken] = np.inf
            place = int(row.argmin())
            if not taken[number] and row[number] <= row[place] + 1e-12 * lengths[1][number] ** 2:
                place = number
            taken[place] = True
            order.append(place)
    return tuple(order)


def to_half(array: Array) -> Array:
    """Rounded to float16."""
    with np.errstate(all="ignore"):
        return array.astype(np.float16).astype(np.float32)


def on_grid(array: Array, levels: int = 256) -> bool:
    """Whether the elements take few, evenly spaced values."""
    if array.size < 2 * levels:
        return False
    values = np.unique(array)
    return 2 < values.size <= levels and _even(values)


def grid_by_channel(array: Array, axis: int = 0) -> bool:
    """Whether every slice along an axis lies on an eight-bit grid of its own."""
    slices = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    if slices.shape[1] < 6:
        return False
    for row in slices[:16]:
        peak = float(np.abs(row).max())
        if peak == 0:
            continue
        steps = row.astype(np.float64) / (peak / 127)
        if float(np.abs(steps - np.rint(steps)).max()) > 0.02:
            return False
    return True


def rounded_to_grid(left: Array, right: Array) -> bool:
    """Whether one is the other rounded to the 255 levels of a single scale; tells of few numbers as well as of many."""
    peak = float(np.abs(right).max(initial=0))
    if right.size < _FEWEST or not 0 < peak < np.inf or left.shape != right.shape:
        return False
    before, steps = (side.astype(np.float64) / (peak / _LEVELS) for side in (left, right))
    moved = np.abs(before - steps)
    off_grid = np.abs(before - np.rint(before)) > _ON_LEVEL
    on_grid = float(np.abs(steps - np.rint(steps)).max()) <= _ON_LEVEL
    return on_grid and float(moved.max()) <= _NEXT_LEVEL and int(off_grid.sum()) >= _FEWEST


def _even(values: Array) -> bool:
    steps = np.diff(values.astype(np.float64))
    step = float(steps.min())
    return step > 0 and float(np.abs(steps / step - np.rint(steps / step)).max()) < 0.05
