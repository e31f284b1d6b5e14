"""What became of one stored tensor in another file: the same, rounded, quantised, rearranged in a known way, or wrong.

Rows are compared in blocks, so that memory stays flat; a tensor is read whole only where its rows are not in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod, sqrt

import numpy as np

from aligner.adapters.checkpoints.checkpoint import StoredTensor
from aligner.parameters.fingerprint import EXACT, ROUNDED, fingerprint
from aligner.parameters.grids import GRIDS, within
from aligner.parameters.relation import CAST, OUTLIERS, STEP
from aligner.records.array import Single
from aligner.records.dataclass import dataclass

_BLOCK = 1 << 22
"""Numbers of a block: 16 MB of each side."""
_NARROW = ("float16", "bfloat16")
_EXACT = 1e-6
"""Relative distance of the same numbers, written by two programs: a few units of float32."""
_RELATED = sqrt(0.75)
"""Distance of two tensors of which one explains a quarter of the other: a correlation of one half."""
_PROBES = 4
"""Rows by which another order of rows is told before all of it is compared."""


@dataclass(frozen=True, slots=True)
class Kinship:
    """Whether the right tensor holds the left one's numbers, what was done to them, and how far apart they are then."""

    matched: bool
    transforms: tuple[str, ...]
    relative: float


def kinship(left: StoredTensor, right: StoredTensor) -> Kinship:
    """The simplest known change that makes the right tensor of the left one; without any, how far apart they are."""
    if prod(left.shape) != prod(right.shape):
        return Kinship(False, ("another shape",), 1.0)
    if not prod(left.shape):
        return Kinship(left.shape == right.shape, ("same",) if left.shape == right.shape else ("another shape",), 0.0)
    word = _precision(left, right)
    squeezed = [tuple(size for size in one.shape if size != 1) for one in (left, right)]
    apart = float("nan")
    if left.shape == right.shape:
        same, apart = _in_place(left, right)
        if same:
            return Kinship(True, word or ("same",), apart)
    ours, theirs = left.whole(), right.whole()
    nearest = Kinship(False, (), distance(ours.reshape(-1), theirs.reshape(-1)) if apart != apart else apart)
    for name, moved in _changes(ours, theirs, squeezed):
        same, relative = agree(left, right, moved, theirs.reshape(moved.shape))
        if same:
            return Kinship(True, (name, *word), relative)
        if relative < min(_RELATED, nearest.relative):
            nearest = Kinship(False, (name,), relative)
    prints = fingerprint(ours), fingerprint(theirs)
    if prints[0] is None or prints[1] is None or prints[0].distance(prints[1]) > (ROUNDED if word else EXACT):
        return nearest
    for name, moved in _orders(ours, theirs):
        if agree(left, right, moved, theirs)[0]:
            return Kinship(False, (name, *word), nearest.relative)
    return nearest


def stands_for(left: StoredTensor, right: StoredTensor) -> bool:
    """Whether the right tensor is the left one in place, told by its first row before all of it is compared."""
    if left.shape != right.shape or not left.shape or 0 in left.shape:
        return False
    return distance(left.rows(0, 1), right.rows(0, 1)) < _RELATED and _in_place(left, right)[0]


def _precision(left: StoredTensor, right: StoredTensor) -> tuple[str, ...]:
    quantised = [one.dtype for one in (left, right) if one.dtype in GRIDS or one.dtype.isupper() or one.steps]
    if quantised:
        return tuple(f"quantised {word}" for word in dict.fromkeys(quantised))
    return ("cast",) if left.dtype != right.dtype else ()


def distance(left: Single, right: Single) -> float:
    """‖right − left‖ / ‖left‖."""
    gap, size = np.subtract(right, left), float(np.vdot(left, left))
    square = float(np.vdot(gap, gap))
    return sqrt(square / size) if size else float(square > 0)


def agree(left: StoredTensor, right: StoredTensor, ours: Single, theirs: Single) -> tuple[bool, float]:
    """Whether two parts hold the same numbers as far as their types let them, and their distance."""
    relative = distance(ours, theirs)
    if relative <= _EXACT:
        return True, relative
    for kind, floats, found in ((right.dtype, ours, theirs), (left.dtype, theirs, ours)):
        grid = GRIDS.get(kind)
        if grid is not None:
            return within(grid, floats, found), relative
        if kind.isupper():  # a format whose grid is not known: that it is the same tensor can be told
            return relative < 0.5, relative
    narrow = any(one.dtype in _NARROW for one in (left, right)) and left.dtype != right.dtype
    return narrow and relative <= CAST, relative


def _blocks(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    if not shape:
        yield 0, 1
        return
    step = max(1, _BLOCK // max(1, prod(shape[1:])))
    yield from ((first, min(first + step, shape[0])) for first in range(0, shape[0], step))


def _in_place(left: StoredTensor, right: StoredTensor) -> tuple[bool, float]:
    """Rows against the same rows; a first block that is another tensor's ends it."""
    squares = gaps = 0.0
    same = True
    for first, last in _blocks(left.shape):
        ours, theirs = left.rows(first, last), right.rows(first, last)
        alike, relative = agree(left, right, ours, theirs)
        alike = alike or any(_on_steps(ours, theirs, one.steps(first, last)) for one in (left, right) if one.steps)
        size = float(np.vdot(ours, ours))
        squares, gaps, same = squares + size, gaps + relative**2 * (size or 1.0), same and alike
        if not same:
            break
    return same, sqrt(gaps / squares) if squares else sqrt(gaps)


def _on_steps(ours: Single, theirs: Single, steps: Single) -> bool:
    """Whether all but the few that a range cuts off are rounded to the nearest code."""
    return float((np.abs(theirs - ours) > STEP * steps + _EXACT * np.abs(ours)).mean()) <= OUTLIERS


def _changes(ours: Single, theirs: Single, squeezed: list[tuple[int, ...]]) -> Iterator[tuple[str, Single]]:
    """What programs are known to do to weights, where it may have been done here."""
    if squeezed[0] == squeezed[1] and ours.shape != theirs.shape:
        yield "reshaped", ours.reshape(theirs.shape)
    if ours.shape == theirs.shape:
        for shift in (1.0, -1.0):
            if abs(float((theirs - ours).mean()) - shift) < CAST:
                yield f"{'+' if shift > 0 else '−'}1", ours + shift
        yield from _rope(ours, theirs)
    if ours.ndim == 2 and ours.shape == theirs.shape[::-1]:
        yield "transposed", ours.T
    for order in _kernel_orders(ours.ndim):
        if ours.shape != theirs.shape == tuple(ours.shape[axis] for axis in order):
            yield f"transposed {','.join(map(str, order))}", ours.transpose(order)


def _orders(ours: Single, theirs: Single) -> Iterator[tuple[str, Single]]:
    """Slices of one axis in another order, by what they amount to in one direction; then all numbers in any order.

    The last is said of the very same numbers: sorted, a few that are wrong among many are hardly apart.
    """
    if ours.shape != theirs.shape:
        return
    for axis, count in enumerate(ours.shape):
        first, second = (np.argsort(_along(each, axis)) for each in (ours, theirs))
        where = np.empty_like(first)
        where[second] = first
        probes = np.unique(np.linspace(0, count - 1, _PROBES).astype(int))
        if distance(ours.take(where[probes], axis), theirs.take(probes, axis)) >= _RELATED:
            continue
        names: tuple[str, ...] = {1: ("numbers",), 2: ("rows", "columns")}.get(ours.ndim, ())
        word = names[axis] if names else f"slices of axis {axis}"
        yield f"permuted {int((where != np.arange(count)).sum())} of {count} {word}", ours.take(where, axis)
    if ours.size <= _BLOCK and np.array_equal(np.sort(ours, axis=None), np.sort(theirs, axis=None)):
        yield "permuted", theirs


def _along(array: Single, axis: int) -> Single:
    """One number for each slice of an axis: its numbers times those of a random direction."""
    before, count = prod(array.shape[:axis]), array.shape[axis]
    cube = array.reshape(before, count, -1)
    random = np.random.default_rng(0)
    ahead, behind = (random.standard_normal(size, np.float32) for size in (before, cube.shape[2]))
    return np.asarray(ahead @ (cube @ behind), np.float32)


def _kernel_orders(rank: int) -> Iterator[tuple[int, ...]]:
    """Axes of a convolution's kernel, from window last (PyTorch, ONNX) to first or between (Keras, TFLite), and back.

    Channels alone exchanged are none of them: that is no layout that a format asks for.
    """
    if not 3 <= rank <= 5:
        return
    window = range(2, rank)
    for order in ((*window, 1, 0), (*window, 0, 1), (0, *window, 1), (1, *window, 0)):
        yield order
        if (back := tuple(map(order.index, range(rank)))) != order:
            yield back


def _rope(ours: Single, theirs: Single) -> Iterator[tuple[str, Single]]:
    """Rows of each head in halves or in pairs, as rotary embeddings take them; tried by a few rows first."""
    rows = len(ours)
    for size in (size for size in range(4, rows + 1, 2) if rows % size == 0):
        order = np.arange(rows).reshape(-1, 2, size // 2).swapaxes(1, 2).reshape(-1)
        for where, words in ((order, "halves to pairs"), (np.argsort(order), "pairs to halves")):
            probes = np.unique(np.linspace(1, rows - 2, _PROBES).astype(int))
            if distance(ours[where[probes]], theirs[probes]) < 0.5:
                yield f"permuted for RoPE, {words} in heads of {size}", ours[where]


def found_in(part: StoredTensor, whole: StoredTensor) -> int | None:
    """The row from which on a tensor stands within a larger one; None where it does not."""
    if not part.shape or not whole.shape or part.shape[1:] != whole.shape[1:]:
        return None
    if not prod(part.shape) or part.shape[0] >= whole.shape[0]:
        return None
    first = part.rows(0, 1).reshape(-1)
    size = float(np.vdot(first, first))
    for begin, end in _blocks(whole.shape):
        rows = whole.rows(begin, end).reshape(end - begin, -1)
        near = np.flatnonzero(((rows - first) ** 2).sum(1) <= 0.25 * size)
        for place in (int(row) + begin for row in near):
            if place + part.shape[0] <= whole.shape[0]:
                theirs = whole.rows(place, place + part.shape[0])
                if agree(part, whole, part.whole(), theirs)[0]:
                    return place
    return None
