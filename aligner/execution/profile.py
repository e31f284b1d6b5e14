"""A first look at a side: one run that keeps a sketch of every tensor, and the tensors themselves while they fit."""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

import numpy as np

from aligner.numerics.blocks import BLOCK, dot, total, weighted
from aligner.numerics.masking import MASKED, MOST_UNMASKED
from aligner.records.alignment import Sketch
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.tensor import CapturedTensor

_TINY = 1e-30
"""Sums of squares below which float32 may have lost them."""
_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo one, repeat latest: each block weighs otherwise."""
_ROW = 1 << 10
"""Elements summed in float64 at once, and of one row of weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Sketches by value id (the last occurrence), and all tensors in order, or None where they outgrew the budget."""

    sketches: dict[str, Sketch]
    tensors: tuple[CapturedTensor, ...] | None
    size: int

    def once(self, value: str) -> bool:
        """Whether a value stood exactly once in the run, and not turn by turn in a loop."""
        one = self.sketches.get(value)
        return one is not None and one.occurrences == 1


class RunningProfile:
    """The profile of a run that passes by."""

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self._sketches: dict[str, Sketch] = {}
        self.size = 0
        self._kept = frozenset(kept)
        self.as_expected = True
        self.kept: list[CapturedTensor] = []
        """The tensors asked for."""

    def watch(self, tensors: Iterable[CapturedTensor], known: dict[str, Sketch]) -> Generator[CapturedTensor]:
        """The same tensors, each noted on its way; what was expected of it in ``known`` gives way to what it is."""
        for tensor in tensors:
            one = replace(sketch(tensor), occurrences=tensor.occurrence + 1) if tensor.occurrence else sketch(tensor)
            self.as_expected = self.as_expected and (
                tensor.value not in known or known[tensor.value].shape == one.shape
            )
            known[tensor.value] = self._sketches[tensor.value] = one
            self.size += tensor.array.nbytes
            if tensor.value in self._kept:
                self.kept.append(tensor)
            yield tensor
            del tensor  # else it would live until the next one is there

    def profile(self, tensors: tuple[CapturedTensor, ...] | None = None) -> Profile:
        """What was seen, with all tensors where they were kept."""
        return Profile(self._sketches, tensors, self.size)


def profile(tensors: Iterable[CapturedTensor], budget: int, running: RunningProfile | None = None) -> Profile:
    """Sketch every tensor of a run; keep the tensors as long as they take ``budget`` bytes or less in all."""
    running = running or RunningProfile()
    kept: list[CapturedTensor] | None = []
    for tensor in running.watch(tensors, {}):
        if kept is not None:
            kept.append(tensor)
            if running.size > budget:
                kept = None
    return running.profile(None if kept is None else tuple(kept))


def sketch(tensor: CapturedTensor) -> Sketch:
    """Reordering-invariant numbers of a tensor's real values."""
    array = tensor.real()
    shape = tuple(int(dim) for dim in array.shape)
    if array.dtype.kind not in "fiub" or not array.size:
        return Sketch(shape, tensor.dtype, 0.0, 0.0, 0.0, 0.0, finite=False)
    flat = np.ascontiguousarray(array).reshape(-1)
    with np.errstate(all="ignore"):
        low, high, mean, rms, order = _sums(flat)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Sketch(shape, tensor.dtype, 0.0, 0.0, low, high, finite=False)
    unmasked = None
    if low <= MASKED and array.dtype.kind == "f":
        kept = np.where(flat > MASKED, flat, 0)
        numbers = _sums(kept)
        if max(abs(numbers[0]), abs(numbers[1])) <= MOST_UNMASKED:
            unmasked = Sketch(shape, tensor.dtype, numbers[2], numbers[3], *numbers[:2], order=numbers[4])
    return Sketch(shape, tensor.dtype, mean, rms, low, high, order=order, unmasked=unmasked)


def _sums(flat: Array) -> tuple[float, float, float, float, float]:
    """Least, greatest, mean, root mean square and order, block by block: each read from memory once.

    A block that holds something non-finite ends it, since then nothing else is asked for.
    """
    if flat.size <= _ROW:
        return _of_few(flat)
    least, greatest = math.inf, -math.inf
    plain = squares = order = 0.0
    for start in range(0, flat.size, BLOCK):
        chunk = flat[start : start + BLOCK]
        low, high = float(chunk.min()), float(chunk.max())
        least, greatest = min(least, low), max(greatest, high)
        if not (math.isfinite(low) and math.isfinite(high)):
            return low, high, 0.0, 0.0, 0.0
        if chunk.dtype != np.float32:
            chunk = chunk.astype(np.float64)
        energy = dot(chunk, chunk)
        if not _TINY < energy < math.inf:
            chunk = chunk.astype(np.float64)
            energy = dot(chunk, chunk)
        places, rows = _places(chunk.dtype.char)
        plain += total(chunk)
        squares += energy
        order += (1.0 + (start // BLOCK * _GOLDEN) % 1.0) * weighted(chunk, places, rows)
    return least, greatest, plain / flat.size, (squares / flat.size) ** 0.5, order / flat.size


def _of_few(flat: Array) -> tuple[float, float, float, float, float]:
    """The same of a row or less, in float64: the fewest calls."""
    low, high, size = float(np.minimum.reduce(flat)), float(np.maximum.reduce(flat)), flat.size
    if not (math.isfinite(low) and math.isfinite(high)):
        return low, high, 0.0, 0.0, 0.0
    flat = flat.astype(np.float64)
    places, rows = _places("d")
    order = float(flat @ places[:size]) * float(rows[0])
    return low, high, float(np.add.reduce(flat)) / size, math.sqrt(float(flat @ flat) / size), order / size


@functools.lru_cache(maxsize=2)
def _places(kind: str) -> tuple[Array, Array]:
    """The pseudo-random weights of a block's places, in [−1, 1]: one for each place in a row, one for each row."""
    drawn = np.random.default_rng(BLOCK).uniform(-1.0, 1.0, (2, _ROW)).astype(kind)
    return drawn[0], drawn[1]
