"""How one weight became another: the axis order, flip or precision under which two arrays hold the same numbers.

Arrays are compared in blocks, through views: neither side is copied whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from math import prod, sqrt
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from aligner.numerics.blocks import dot
from aligner.numerics.relations import SAME
from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Number = TypeVar("Number", bound=np.generic)

CAST = 4e-3
"""… and up to which one is the other in a narrower float type: bfloat16 keeps eight bits."""
_CORRELATED = 0.99
"""Correlation from which a difference of weights is taken for codes, pruning or noise, and not for other weights."""
_RELATED = 0.5
"""Correlation from which another order of the same numbers is believed: a quarter of their variance."""
_PROPORTIONAL = 1 - 1e-9
"""Correlation from which one is the other times a number: float32 leaves less than √(2 · 10⁻⁹) = 4 · 10⁻⁵ of it."""
STEP = 0.51
"""Steps that rounding to the nearest code moves a number, and a fiftieth for scales stored in half precision."""
_BLOCK = 1 << 20
"""Elements that are compared at once, and up to which all is looked at."""
_PROBES = 64
"""Places that are compared before everything is."""
_RANK = 5
"""Axes whose orders are all tried: 5! = 120."""
NARROW = ("float16", "bfloat16", "float8")
OUTLIERS = 0.01
"""Share of numbers that a calibration cuts off."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A weight's real values, the type they are stored in, and how codes stand for them: a grid, or a step of each."""

    array: Array
    dtype: str
    quantization: Quantization | None = None
    spacing: Callable[[], Array] | None = None

    @property
    def narrow(self) -> bool:
        """Whether the stored type holds fewer digits than float32."""
        return self.dtype.startswith(NARROW)

    @property
    def integer(self) -> bool:
        """Whether codes are stored: integers, or floats of a step of their own."""
        return self.spacing is not None or self.dtype.startswith(("int", "uint"))

    def steps(self) -> Wide | None:
        """The quantisation step of each element, a view in the array's shape; None for floats."""
        if self.spacing is not None:
            wide: Wide = self.spacing().astype(np.float64, copy=False)
            return wide
        if self.quantization is None or not self.quantization.scale or not self.integer:
            return None
        scale = np.asarray(self.quantization.scale, dtype=np.float64)
        axis = self.quantization.axis
        if scale.size > 1 and axis is not None and self.array.shape[axis] == scale.size:
            scale = scale.reshape([-1 if place == axis % self.array.ndim else 1 for place in range(self.array.ndim)])
        else:
            scale = scale.max().reshape(())
        view: Wide = np.broadcast_to(scale, self.array.shape)
        return view


@dataclass(frozen=True, slots=True)
class Relation:
    """What was done to the left weight to make the right one, and how far apart they are after that."""

    matched: bool
    transforms: tuple[str, ...]
    axes: tuple[int, ...] | None
    relative: float
    correlation: float


@dataclass(frozen=True, slots=True)
class _Move:
    words: tuple[str, ...]
    axes: tuple[int, ...] | None
    shape: tuple[int, ...] | None
    """What the left array is reshaped to first."""
    flips: tuple[int, ...] = ()

    def __call__(self, array: NDArray[Number]) -> NDArray[Number]:
        if self.shape is not None:
            array = array.reshape(self.shape)
        if self.axes is not None:
            array = array.transpose(self.axes)
        return np.flip(array, self.flips) if self.flips else array

    @property
    def visible_axes(self) -> tuple[int, ...] | None:
        """Axes that carry the whole left array; None where it was reshaped as well."""
        plain = self.shape is None and self.axes is not None and self.axes != tuple(range(len(self.axes)))
        return self.axes if plain else None


@dataclass(frozen=True, slots=True)
class _Gap:
    relative: float
    correlation: float
    beyond: float
    """Share of elements further apart than half a quantisation step."""
    factor: float = 1.0
    """That takes the left numbers closest to the right ones."""


def relate(left: Numbers, right: Numbers, *, numbers_agree: bool) -> Relation:
    """The simplest move that turns one weight into the other; ``numbers_agree`` says that their fingerprints do.

    Sizes must be equal. Where no move does, ``matched`` is False and the numbers are those of the best axis order.
    """
    precise = _precision(left, right)
    nearest: tuple[_Move, _Gap] | None = None
    for move in _moves(left.array.shape, right.array.shape, flips=numbers_agree):
        moved, target = _held(move(left.array), right), _target(move, left.array, right.array)
        steps = _steps(move, left, right, target.shape)
        unlikely = move.flips or target.size > _BLOCK
        if nearest is not None and unlikely and not _probe(moved, target, steps):
            continue
        gap = _distance(moved, target, steps)
        if _matches(gap, precise, stepped=steps is not None):
            return Relation(True, (*move.words, *precise), move.visible_axes, gap.relative, gap.correlation)
        if nearest is None or gap.correlation > max(nearest[1].correlation + 1e-6, _RELATED):
            nearest = move, gap
    assert nearest is not None  # flattening always fits
    move, gap = nearest
    if numbers_agree and not (left.integer or right.integer):
        return Relation(True, ("permuted", *precise), None, 0.0, gap.correlation)
    if _affine(left, right) and gap.correlation >= _CORRELATED:
        return Relation(True, (*move.words, "dequantised"), move.visible_axes, gap.relative, gap.correlation)
    rounded = gap.relative <= CAST and _rounded(move(left.array), _target(move, left.array, right.array))
    if rounded:
        return Relation(True, (*move.words, "cast"), move.visible_axes, gap.relative, gap.correlation)
    told = [f"scaled ×{gap.factor:.6g}"] if gap.correlation >= _PROPORTIONAL else []
    if gap.beyond > 0:
        told.append(f"{gap.beyond:.2g} of it off by more than half a step")
    words = (*(word for word in move.words if word != "same"), *told)
    return Relation(False, words, move.visible_axes, gap.relative, gap.correlation)


def _held(array: Array, right: Numbers) -> Array:
    """The array as far as float16 reaches, where the right weight is stored so: a mask of −3e38 becomes −65504."""
    if right.dtype != "float16" or array.dtype == np.float16:
        return array
    limit = float(np.finfo(np.float16).max)
    beyond = array.size <= _BLOCK and bool((np.abs(array) > limit).any())
    return np.clip(array, -limit, limit) if beyond else array  # type: ignore[type-var]


def _precision(left: Numbers, right: Numbers) -> tuple[str, ...]:
    if left.integer != right.integer:
        return ("dequantised",)
    return ("cast",) if left.dtype != right.dtype and (left.narrow or right.narrow) else ()


def _affine(left: Numbers, right: Numbers) -> bool:
    """Whether one side stores integers whose scale is not known: they are the floats up to a scale and a shift."""
    return any(side.integer and side.quantization is None and side.spacing is None for side in (left, right))


def _matches(gap: _Gap, precise: tuple[str, ...], *, stepped: bool) -> bool:
    if gap.relative <= (CAST if "cast" in precise else SAME):
        return True
    return stepped and gap.beyond <= OUTLIERS and gap.correlation > 0.9


def _moves(left: tuple[int, ...], right: tuple[int, ...], *, flips: bool) -> Iterator[_Move]:
    """Ways to bring the left shape into the right one, the plainest first."""
    found = list(_reorderings(left, right))
    yield from found
    yield _Move(("reshaped",), None, (prod(left),))
    if not flips:
        return
    for move in found:
        axes = [axis for axis, dim in enumerate(_shape(move, left)) if dim > 1]
        for many in range(1, len(axes) + 1):
            for chosen in combinations(axes, many):
                words = tuple(word for word in move.words if word != "same")
                yield _Move((*words, "flipped"), move.axes, move.shape, chosen)


def _reorderings(left: tuple[int, ...], right: tuple[int, ...]) -> Iterator[_Move]:
    shape = None
    if len(left) != len(right):
        shape = left = tuple(dim for dim in left if dim != 1)
        right = tuple(dim for dim in right if dim != 1)
    if len(left) != len(right) or len(left) > _RANK:
        return
    for axes in permutations(range(len(left))):
        if tuple(left[axis] for axis in axes) == right:
            plain = axes == tuple(range(len(left)))
            word = "transposed" if not plain else "same" if shape is None else "reshaped"
            yield _Move((word,), None if plain else axes, shape)


def _shape(move: _Move, left: tuple[int, ...]) -> tuple[int, ...]:
    shape = left if move.shape is None else move.shape
    return shape if move.axes is None else tuple(shape[axis] for axis in move.axes)


def _target(move: _Move, left: Array, right: Array) -> Array:
    return right if move.shape is None else right.reshape(_shape(move, left.shape))


def _steps(move: _Move, left: Numbers, right: Numbers, shape: tuple[int, ...]) -> Wide | None:
    parts = [move(steps) for steps in [left.steps()] if steps is not None]
    parts += [steps.reshape(shape) for steps in [right.steps()] if steps is not None]
    return max(parts, key=lambda steps: float(steps.flat[0]), default=None)


def _probe(left: Array, right: Array, steps: Wide | None) -> bool:
    """Whether a few places agree, before everything is compared."""
    places = np.unravel_index(np.random.default_rng(0).integers(0, right.size, _PROBES), right.shape)
    a, b = (side[places].astype(np.float64) for side in (left, right))
    allowed = 2 * CAST * float(np.abs(b).max()) + (0.0 if steps is None else steps[places])
    return bool((np.abs(a - b) <= allowed).mean() > 1 - 8 * OUTLIERS)


def _distance(left: Array, right: Array, steps: Wide | None) -> _Gap:
    if left.dtype == right.dtype and np.array_equal(left, right):
        return _Gap(0.0, float(right.size > 0 and bool((right != right.flat[0]).any())), 0.0)
    gap = squares = 0.0
    sums = np.zeros(5)
    beyond = 0
    for part in _blocks(right.shape):
        a, b = left[part].astype(np.float64).reshape(-1), right[part].astype(np.float64).reshape(-1)
        with np.errstate(invalid="ignore"):
            delta = np.where(a == b, 0.0, a - b)
        energy = dot(a, a)
        gap += dot(delta, delta)
        squares += energy
        sums += (a.sum(), b.sum(), energy, dot(b, b), dot(a, b))
        if steps is not None:
            beyond += int((np.abs(delta) > STEP * steps[part].reshape(-1) + 1e-7 * np.abs(a)).sum())
    count = max(right.size, 1)
    relative = sqrt(gap / squares) if squares else float(gap > 0)
    return _Gap(relative, _correlation(sums, count), beyond / count, float(sums[4]) / (squares or 1.0))


def _correlation(sums: Wide, count: int) -> float:
    a, b, aa, bb, ab = (float(value) for value in sums)
    spread = (aa - a * a / count) * (bb - b * b / count)
    return (ab - a * b / count) / sqrt(spread) if spread > 0 else 0.0


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Slices along the first axis that hold about a million elements each."""
    if not shape:
        yield ()
        return
    rows = max(1, _BLOCK // max(1, prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield (slice(start, start + rows),)


def _rounded(left: Array, right: Array) -> bool:
    """Whether the right numbers are the left ones rounded to a narrower float type, stored in the wide one."""

    def to_half(block: Array) -> Array:
        with np.errstate(over="ignore"):
            return block.astype(np.float16).astype(np.float32)

    def to_brain(block: Array) -> Array:
        bits = np.ascontiguousarray(block, dtype=np.float32).view(np.uint32)
        halfway = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        wide: Array = ((bits + halfway) & np.uint32(0xFFFF0000)).view(np.float32)
        return wide

    return any(
        all(np.array_equal(narrow(right[part]), right[part].astype(np.float32)) for part in _blocks(right.shape))
        and all(not np.array_equal(narrow(left[part]), left[part]) for part in list(_blocks(left.shape))[:1])
        for narrow in (to_half, to_brain)
    )
