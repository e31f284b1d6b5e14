"""A smaller specimen that should still fail: shorter axes, with what the reference then computes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from aligner.causes.context import Context
from aligner.causes.search import Examined
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate, to_reference
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Change
from aligner.repair.reproducible import Specimen, stored

Arrays = Mapping[str, Array]

_WORK = 1 << 26
"""Elements fed to replays, all tries of one specimen together: a second or two of numpy."""
_LEAST = 2
"""Elements of an output in which a fault still shows where it is."""
_SHOWS = 0.5
"""Share of the whole specimen's largest error that a smaller one must keep."""


def smaller(one: Examined, specimen: Specimen, context: Context) -> Specimen | None:
    """The specimen with each axis halved as often as half of the error stays, by replays of both sides.

    None where nothing could be left out, or a side cannot be replayed. Whether the runtime errs likewise is for it to
    show.
    """
    try:
        return _Shrinking(one.culprit, context).shrunk(specimen)
    except Unsupported:
        return None


class _Shrinking:
    def __init__(self, culprit: Culprit, context: Context) -> None:
        self._culprit, self._left = culprit, _WORK
        local = culprit.measured.local
        error = local.errors.max_abs if local is not None else math.nan
        self._allowed = _SHOWS * error if math.isfinite(error) else 0.0
        self._pairs = {name: context.pair_of(name) for name in culprit.candidate.region.inputs}
        self._axes = culprit.measured.pair.axes

    def shrunk(self, specimen: Specimen) -> Specimen | None:
        values = {name: self._real(name) for name in specimen.inputs}
        best: Array | None = None
        fixed: set[int] = set()  # what a weight or a stored shape fixes does not become free later
        while (axis := _longest(values, fixed)) is not None and self._left > 0:
            tried = _halved(values, axis)
            self._left -= sum(array.size for array in values.values())
            expected = self._expected(tried)
            if expected is None:
                fixed.add(axis)
            else:
                values, best = tried, expected
        if best is None:
            return None
        inputs = {name: stored(self._culprit.candidate.graph, name, array) for name, array in values.items()}
        return replace(specimen, inputs=inputs, expected=best)

    def _real(self, name: str) -> Array:
        array = self._culprit.candidate.array(name)
        if array is None:
            raise Unsupported(f"{name} was not kept")
        return array

    def _expected(self, values: Arrays) -> Array | None:
        """What the reference computes of them, in the candidate's order; None where the fault does not show."""
        try:
            with np.errstate(all="ignore"):
                right = self._culprit.reference.replay(Change(arrays=self._theirs(values)))
                wrong = self._culprit.candidate.replay(Change(arrays=values))
        except (Unsupported, ValueError, IndexError, ZeroDivisionError):
            return None
        wanted = to_candidate(right, self._axes, wrong.shape)
        if wanted is None or wanted.size < _LEAST:
            return None
        with np.errstate(all="ignore"):
            off = np.abs(wrong.astype(np.float64) - wanted.astype(np.float64))
        alike = (wrong == wanted) | (np.isnan(wrong) & np.isnan(wanted)) if wrong.dtype.kind == "f" else wrong == wanted
        off = np.where(alike, 0.0, np.nan_to_num(off, nan=np.inf))
        return wanted if float(off.max()) > self._allowed else None

    def _theirs(self, values: Arrays) -> dict[str, Array]:
        """The same tensors as the reference holds them. Raises Unsupported where one has no answer."""
        found: dict[str, Array] = {}
        for name, array in values.items():
            pair, whole = self._pairs[name], self._real(name)
            mine = self._culprit.reference.array(pair.reference) if pair is not None else None
            if pair is None or mine is None or mine.ndim != whole.ndim:
                raise Unsupported(f"{name} has no answer of as many axes")
            order = pair.axes or tuple(range(whole.ndim))
            shape = [0] * whole.ndim
            for place, axis in enumerate(order):
                shape[axis] = array.shape[place]
            turned = to_reference(array, pair.axes, tuple(shape))
            if turned is None or (pair.axes is None and mine.shape != whole.shape):
                raise Unsupported(f"{name} lies otherwise")
            found[pair.reference] = turned
        missing = [name for name in self._culprit.reference.region.inputs if name not in found]
        if missing:
            raise Unsupported(f"{missing[0]} is read by the reference alone")
        return found


def _longest(values: Arrays, fixed: Collection[int]) -> int | None:
    """The longest axis that is not fixed, None where all that are left have length one."""
    sizes = [(size, -axis) for array in values.values() for axis, size in enumerate(array.shape) if axis not in fixed]
    size, axis = max(sizes, default=(1, 0))
    return -axis if size > 1 else None


def _halved(values: Arrays, axis: int) -> dict[str, Array]:
    """The tensors with one axis halved in all of them that are longest there."""
    size = max(array.shape[axis] for array in values.values() if array.ndim > axis)
    return {name: _cut(array, axis, size) for name, array in values.items()}


def _cut(array: Array, axis: int, size: int) -> Array:
    if array.ndim <= axis or array.shape[axis] != size:
        return array
    return array[(slice(None),) * axis + (slice(0, (size + 1) // 2),)]
