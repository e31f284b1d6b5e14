"""Tensors that hold another's numbers in another order, or each channel times a factor of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aligner.records.array import Array
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EQUAL = 1e-4
"""Of the largest magnitude: far above what rounding does to one number, far below what tells two apart."""
_FEWEST = 4
"""Elements that a channel must have for a factor and an offset to say something of it."""
_COLUMNS = 256
"""Elements of each slice by which slices are matched; whether all of them fit is tried on every element afterwards."""


def is_another_form(found: Array, expected: Array) -> bool:
    """Whether ``found`` is a permutation of ``expected``, or along some axis each slice is a·slice + b."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.size < _FEWEST or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return False
    near = _EQUAL * float(np.abs(expected).max())
    ends = max(abs(found.max() - expected.max()), abs(found.min() - expected.min()))  # of what would be sorted
    if ends <= near and np.abs(np.sort(found, axis=None) - np.sort(expected, axis=None)).max() <= near:
        return True
    return any(_is_scaled(found, expected, axis) for axis in range(found.ndim))


def _is_scaled(found: Array, expected: Array, axis: int) -> bool:
    slices = found.shape[axis]
    if slices < 2 or found.size < _FEWEST * slices:
        return False
    rows = [np.moveaxis(np.asarray(side, np.float64), axis, 0).reshape(slices, -1) for side in (found, expected)]
    right, left = (side - side.mean(axis=1, keepdims=True) for side in rows)
    energy = np.square(left).sum(axis=1, keepdims=True)
    slope = np.divide((left * right).sum(axis=1, keepdims=True), energy, out=np.zeros_like(energy), where=energy > 0)
    return bool(np.abs(right - slope * left).max() <= _EQUAL * np.abs(right).max())


@dataclass(frozen=True, slots=True, eq=False)
class ChannelForm:
    """Along one axis, counted from the front: of which slice each is made, times which positive factor."""

    axis: int
    order: NDArray[np.int64]
    factor: NDArray[np.float64]

    @property
    def largest(self) -> float:
        """How many times an error may grow in this form; at least 1."""
        return max(1.0, float(self.factor.max()))

    def of(self, array: Array) -> NDArray[np.float64] | None:
        """A tensor in this form; None where it has no such axis."""
        if array.ndim <= self.axis or array.shape[self.axis] != self.order.size:
            return None
        shape = [-1 if axis == self.axis else 1 for axis in range(array.ndim)]
        made: NDArray[np.float64] = np.take(array.astype(np.float64), self.order, self.axis)
        return made * self.factor.reshape(shape)


def channel_form(found: Array, expected: Array) -> ChannelForm | None:
    """The form of ``expected`` that ``found`` holds: slices of some axis in another order, each times a factor.

    None where there is no such form, or nothing but the same. A slice that is zero everywhere goes to what is left.
    """
    if found.shape != expected.shape or found.size < _FEWEST:
        return None
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return None
    forms = (form_along(found, expected, axis) for axis in range(found.ndim))
    return next((form for form in forms if form is not None), None)


def shifted_form(found: Array, expected: Array) -> ChannelForm | None:
    """The form of ``expected`` that ``found`` holds but for a number that is added to each slice."""
    if found.shape != expected.shape or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return None
    for axis in range(found.ndim):
        rest = tuple(other for other in range(found.ndim) if other != axis)
        if found.size >= _FEWEST * max(found.shape[axis], 2):
            left, right = (np.asarray(one, np.float64) for one in (expected, found))
            centred = [one - one.mean(axis=rest, keepdims=True) for one in (right, left)]
            if (form := form_along(centred[0], centred[1], axis)) is not None:
                return form
    return None


def form_along(found: NDArray[np.float64], expected: NDArray[np.float64], axis: int) -> ChannelForm | None:
    """``channel_form`` along one axis, of finite numbers; ``expected`` itself is a form as well."""
    slices = found.shape[axis]
    if slices < 2:
        return None
    left = np.moveaxis(expected, axis, 0).reshape(slices, -1)
    right = np.moveaxis(found, axis, 0).reshape(slices, -1)
    if found.size < _FEWEST * slices:
        return _order_along(right, left, axis)
    sizes = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    in_place, order = np.einsum("ij,ij->i", left, right), np.arange(slices)
    if (in_place <= (1 - _EQUAL) * sizes[0] * sizes[1])[sizes[1] > 0].any():
        some = slice(None, None, -(-left.shape[1] // _COLUMNS))
        units = [
            side[:, some] / np.where(size > 0, size, 1.0)[:, None]
            for side, size in zip((left, right), sizes, strict=True)
        ]
        order = (units[1] @ units[0].T).argmax(axis=1)
        idle = sizes[1] == 0
        order[idle] = np.setdiff1d(np.arange(slices), order[~idle])[: int(idle.sum())] if idle.any() else order[idle]
    if np.unique(order).size != slices:
        return None
    energy = np.square(sizes[0][order])
    factor = np.divide(np.einsum("ij,ij->i", right, left[order]), energy, out=np.ones(slices), where=energy > 0)
    if (factor <= 0).any() or np.abs(right - factor[:, None] * left[order]).max() > _EQUAL * np.abs(right).max():
        return None
    return ChannelForm(axis, order, factor)


def _order_along(right: NDArray[np.float64], left: NDArray[np.float64], axis: int) -> ChannelForm | None:
    """Slices in another order, where each holds too few numbers to tell a factor: a vector of channels.

    They are put in order by their sums; where rounding exchanges two that are no twins, there is no form.
    """
    places = right.sum(axis=1).argsort(kind="stable"), left.sum(axis=1).argsort(kind="stable")
    order = np.empty(len(right), np.int64)
    order[places[0]] = places[1]
    if np.abs(right - left[order]).max() > _EQUAL * np.abs(right).max():
        return None
    return ChannelForm(axis, order, np.ones(len(right)))
