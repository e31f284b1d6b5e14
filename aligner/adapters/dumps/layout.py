"""How a dump lays its tensors out: channels first, last, or in blocks, and filled up to whole blocks or not.

An *order* is the length of a block of channels that stands behind the places in space: 1 is N, C, H, W; 4 is
N, C/4, H, W, 4; and ``LAST`` has all of them in one block, N, H, W, C.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from aligner.adapters.dumps.dump import size_of
from aligner.records.array import Array
from aligner.records.axis_order import groups_alike

Channels = Literal["first", "last"]
Order = int
FIRST: Order = 1
LAST: Order = 0
LAYOUTS: dict[str, Order] = {"nchw": FIRST, "nhwc": LAST}
_WITH_CHANNELS = (3, 4, 5)
"""Ranks that layouts speak of: one, two or three spatial axes."""
BLOCKS = (4, 8, 16, 32, 64, 128)
"""Numbers that vector units and matrix engines take at once."""
LIKE = 2.0**-5
"""Distance, relative to the norm, up to which a tensor is what the model gives: above what half precision and 8-bit
codes leave, below what a layer does to a tensor. Of several that near the nearest is taken."""
_BY_CHANCE = 6.0
"""Cosines of unrelated tensors of n numbers deviate from 0 by 1/√n; six of these come by chance once in 10⁹."""


def order_of(channels: Channels) -> Order:
    """The order of a model that has its channels there."""
    return FIRST if channels == "first" else LAST


def spoken(order: Order) -> str:
    """An order in words."""
    return {FIRST: "channels first", LAST: "channels last"}.get(order, f"channels in blocks of {order}")


def filled(shape: Sequence[int], channels: Channels, block: int) -> int:
    """How many numbers a tensor takes whose channels are filled up to whole blocks."""
    samples, depth, space = _parts(shape, channels)
    return samples * -(-depth // block) * block * size_of(space)


def blocks_of(count: int, shape: Sequence[int], channels: Channels) -> frozenset[int]:
    """The blocks that explain so many numbers of a tensor of that shape; 1 where it is not filled up at all."""
    plain = [1] if count == size_of(shape) else []
    if len(shape) < 2 or 0 in shape:
        return frozenset(plain)
    return frozenset([*plain, *(block for block in BLOCKS if filled(shape, channels, block) == count)])


def _parts(shape: Sequence[int], channels: Channels) -> tuple[int, int, tuple[int, ...]]:
    """Samples, channels, and the places in space."""
    if channels == "first" or len(shape) < 3:
        return shape[0], shape[1], tuple(shape[2:])
    return shape[0], shape[-1], tuple(shape[1:-1])


def _depth(count: int, shape: Sequence[int], channels: Channels) -> int | None:
    """How many channels are stored, filling included."""
    samples, _, space = _parts(shape, channels)
    return count // (samples * size_of(space)) if blocks_of(count, shape, channels) else None


def effective(order: Order, depth: int) -> Order:
    """The same order of numbers by its plainest name."""
    return LAST if order > FIRST and order >= depth else order


def arranged(shape: Sequence[int], channels: Channels, order: Order, depth: int | None = None) -> tuple[int, ...]:
    """The axes that a tensor of that shape has in that order."""
    samples, own, space = _parts(shape, channels)
    depth = own if depth is None else depth
    order = effective(order, depth)
    if order in {FIRST, LAST}:
        return (samples, depth, *space) if order == FIRST else (samples, *space, depth)
    return (samples, depth // order, *space, order)


def orders(count: int, shape: Sequence[int], channels: Channels) -> list[Order]:
    """The orders in which so many numbers can be a tensor of that shape, each once, the model's own first."""
    depth = _depth(count, shape, channels) if len(shape) in _WITH_CHANNELS and 0 not in shape else None
    if depth is None:
        return []
    own = order_of(channels)
    wanted = (own, LAST if own == FIRST else FIRST, *(block for block in BLOCKS if depth % block == 0))
    return list(dict.fromkeys(effective(order, depth) for order in wanted))


def says(given: Sequence[int] | None, shape: tuple[int, ...], channels: Channels) -> Order | None:
    """How a tensor's own shape says that it lies; None where it fits several orders, or none."""
    if given is None:
        return None
    told = [n for n in given if n != 1]
    count = size_of(given)
    depth = _depth(count, shape, channels) if len(shape) in _WITH_CHANNELS and 0 not in shape else None
    fitting = [
        order
        for order in orders(count, shape, channels)
        if [n for n in arranged(shape, channels, order, depth) if n != 1] == told
    ]
    return fitting[0] if len(fitting) == 1 else None


def fitting(given: Sequence[int] | None, shape: tuple[int, ...], channels: Channels, order: Order) -> bool:
    """Whether a tensor with those axes can have been laid in that order."""
    if given is None:
        return True
    depth = _depth(size_of(given), shape, channels)
    return depth is not None and groups_alike(tuple(given), arranged(shape, channels, order, depth))


def can_be(given: Sequence[int] | None, shape: tuple[int, ...], channels: Channels) -> bool:
    """Whether a tensor with those axes can be one of that shape, in any order and filled up or not."""
    if given is None or groups_alike(tuple(given), shape):
        return True
    if len(shape) not in _WITH_CHANNELS:
        return size_of(given) != size_of(shape)
    return any(fitting(given, shape, channels, order) for order in orders(size_of(given), shape, channels))


def settled(said: Iterable[tuple[Order, int]]) -> Order | None:
    """The order that most of (what a tensor says, its stored channels) are of: a dump has one, so a few change nothing.

    Blocks as long as a tensor has channels are its channels last.
    """
    votes = list(said)
    rivals = sorted({order for order, _ in votes}, key=lambda order: (order > FIRST, order))
    shares = {order: sum(effective(order, depth) == vote for vote, depth in votes) for order in rivals}
    best = max(rivals, key=shares.__getitem__, default=None)
    return best if best is not None and 2 * shares[best] > len(votes) else None


def laid(array: Array, shape: tuple[int, ...], channels: Channels, dumped: Order) -> Array:
    """A dumped tensor in its model's order and shape; as it is where it cannot have been that.

    ``dumped`` holds where the tensor's own shape does not say how it lies.
    """
    if array.size == 1 == size_of(shape):
        return array.reshape(shape)
    depth = _depth(array.size, shape, channels) if len(shape) > 1 and 0 not in shape else None
    if depth is None:
        return array.reshape(shape) if groups_alike(array.shape, shape) else array
    if len(shape) not in _WITH_CHANNELS:
        whole = (shape[0], depth, *shape[2:])
        return array.reshape(whole)[:, : shape[1]] if groups_alike(array.shape, whole) else array
    given = tuple(int(n) for n in array.shape)
    said = says(given, shape, channels)
    own = order_of(channels)
    for order in (dumped if said is None else said, own):
        axes = arranged(shape, channels, order, depth)
        if (order <= FIRST or depth % order == 0) and groups_alike(given, axes):
            return _turned(array.reshape(axes), shape, channels, effective(order, depth))
    return array


def _turned(array: Array, shape: tuple[int, ...], channels: Channels, order: Order) -> Array:
    """From that order into the model's, without what channels were filled up with."""
    if order > FIRST:
        array = np.moveaxis(array, -1, 2)
        array = array.reshape(array.shape[0], -1, *array.shape[3:])
    elif order == LAST:
        array = np.moveaxis(array, -1, 1)
    _, depth, _ = _parts(shape, channels)
    array = array[:, :depth]
    return array if channels == "first" else np.moveaxis(array, 1, -1)


def clearly(cosines: Sequence[float], size: int) -> bool:
    """Whether the first of several cosines, the greatest first, is so by more than chance, of tensors of that size."""
    return len(cosines) == 1 or cosines[0] - cosines[1] > _BY_CHANCE / math.sqrt(max(size, 1))


def centred_cosine(array: Array, own: Array) -> float:
    """The cosine of two tensors of one shape; 0 where a dump has other sizes than it should."""
    if array.size != own.size:
        return 0.0

    left, right = array.astype(np.float64).ravel(), own.astype(np.float64).ravel()
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return 0.0
    left, right = left - left.mean(), right - right.mean()
    norm = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norm if norm else 0.0


def distance(array: Array, own: Array) -> float:
    """How far two tensors are apart, relative to the second's norm, over what is finite in both; 0 for equal ones."""
    if array.size != own.size:
        return float("inf")
    left, right = array.astype(np.float64).ravel(), own.astype(np.float64).ravel()
    finite = np.isfinite(left) & np.isfinite(right)
    if not finite.any():
        return float("inf")
    left, right = left[finite], right[finite]
    apart, norm = float(np.linalg.norm(left - right)), float(np.linalg.norm(right))
    return apart / norm if norm else float("inf") if apart else 0.0


def read_like(array: Array, own: Array, channels: Channels) -> Array:
    """A dumped tensor in the shape of one that it may be, in the order in which it is like it; else as it is."""
    shape = own.shape
    readings = [laid(array, shape, channels, order) for order in orders(array.size, shape, channels) or [FIRST]]
    readings = [one for one in readings if one.shape == shape]
    nearest = min(readings, key=lambda one: distance(one, own), default=array)
    return nearest if nearest is not array and distance(nearest, own) <= LIKE else array
