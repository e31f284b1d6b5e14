"""How a dump lays its tensors out: as its model does, or with the channels where its model has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from aligner.adapters.dumps.dump import size_of
from aligner.records.axis_order import groups_alike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Channels = Literal["first", "last"]
LAYOUTS: dict[str, Channels] = {"nchw": "first", "nhwc": "last"}
_WITH_CHANNELS = (3, 4, 5)
"""Ranks that layouts speak of: one, two or three spatial axes."""
_BY_CHANCE = 6.0
"""Cosines of unrelated tensors of n numbers deviate from 0 by 1/√n; six of these come by chance once in 10⁹."""


def moved(shape: Sequence[int], channels: Channels) -> tuple[int, ...]:
    """The shape with its channel axis where the model's ``channels`` is not."""
    if len(shape) not in _WITH_CHANNELS:
        return tuple(shape)
    return (shape[0], *shape[2:], shape[1]) if channels == "first" else (shape[0], shape[-1], *shape[1:-1])


def says(given: Sequence[int] | None, shape: tuple[int, ...], channels: Channels) -> Channels | None:
    """Where a tensor's own shape says that its channels stand; None where it fits both orders, or neither."""
    other = moved(shape, channels)
    if given is None or other == shape:
        return None
    told, plain, turned = (tuple(n for n in dims if n != 1) for dims in (given, shape, other))
    if (told == plain) == (told == turned):
        return None
    return channels if told == plain else "last" if channels == "first" else "first"


def majority(said: Iterable[Channels | None]) -> Channels | None:
    """What the tensors that tell say together: a dump has one layout, so one odd tensor changes nothing."""
    votes = Counter(one for one in said if one is not None)
    if not votes:
        return None
    (first, count), *others = votes.most_common()
    return first if count > sum(other for _, other in others) else None


def laid(array: Array, shape: tuple[int, ...], channels: Channels, dumped: Channels) -> Array:
    """A dumped tensor in its model's order and shape; as it is where it cannot have been that.

    ``dumped`` holds where the tensor's own shape does not say how it lies.
    """
    if array.size != size_of(shape):
        return array
    if array.size == 1:
        return array.reshape(shape)
    given = tuple(int(n) for n in array.shape)
    order = says(given, shape, channels) or dumped
    other = moved(shape, channels)
    if order != channels and len(shape) in _WITH_CHANNELS and groups_alike(given, other):
        last = len(shape) - 1
        back = (0, last, *range(1, last)) if channels == "first" else (0, *range(2, last + 1), 1)
        turned_back: Array = array.reshape(other).transpose(back)
        return turned_back
    return array.reshape(shape) if groups_alike(given, shape) else array


def nearer(array: Array, other: Array, own: Array) -> int | None:
    """Which of two readings is the model's own tensor: the first (0) or the other (1); None where it cannot be told."""
    import math

    cosines = [centred_cosine(one, own) for one in (array, other)]
    if abs(cosines[0] - cosines[1]) <= _BY_CHANCE / math.sqrt(max(own.size, 1)):
        return None
    return int(cosines[1] > cosines[0])


def centred_cosine(array: Array, own: Array) -> float:
    """The cosine of two tensors of one shape; 0 where a dump has other sizes than it should."""
    import numpy as np

    if array.size != own.size:
        return 0.0

    left, right = array.astype(np.float64).ravel(), own.astype(np.float64).ravel()
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return 0.0
    left, right = left - left.mean(), right - right.mean()
    norm = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norm if norm else 0.0
