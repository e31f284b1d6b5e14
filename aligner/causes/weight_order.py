"""In which order a parameter holds the reference's numbers, seen through folds and through few bits."""

from __future__ import annotations

from itertools import starmap

import numpy as np

from aligner.causes.weight_cause import allowance, as_stored, settled, versions
from aligner.numerics import relations
from aligner.numerics.blocks import norm
from aligner.parameters.folding import output_axis, output_factors
from aligner.records.array import Array
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import MATRICES, step_of
from aligner.regions.layers import LayerPair

_FEWEST = 4
"""Numbers of a row that few bits tell from another row."""
_LEVELS = 127
"""Steps from zero to the largest number of eight bits."""
_OUT_OF_PLACE = 10 * relations.SAME
"""Numbers that stand elsewhere are further apart than any that are the same by a rounding."""
_NEARLY = 2.0
"""How often the allowance of rows that a wrong factor has made larger may be exceeded."""


def same_somewhere(pair: LayerPair, role: str) -> bool:
    """Whether both hold exactly the same numbers in other places; what differs by a rounding stands in its own."""
    return any(
        relations.same_numbers(*arrays) and relations.gap(*arrays) > _OUT_OF_PLACE
        for arrays in starmap(as_stored, versions(pair, role))
    )


def moved(pair: LayerPair, role: str, culprit: Culprit) -> str | None:
    """How the candidate's numbers are the reference's in another order, in words."""
    step = step_of(culprit, pair)
    if step is None:
        for arrays in starmap(as_stored, versions(pair, role)):
            if relations.same_numbers(*arrays) and (words := _move(arrays, role, relations.SAME)):
                return words
        return None
    if role not in MATRICES or settled(pair, role, culprit):
        return None
    within = allowance(pair, role, culprit)
    found = next((words for arrays in versions(pair, role) if (words := _move(arrays, role, within))), None)
    return found or _by_direction(pair, role)


def _move(arrays: tuple[Array, Array], role: str, within: float) -> str | None:
    left, right = arrays
    if role == "kernel":
        for words, turned in relations.kernel_moves(left):
            if relations.gap(turned, right) <= within:
                return words
    for axis in range(left.ndim):
        if within > relations.SAME and left.size // left.shape[axis] < _FEWEST:
            continue
        order = relations.permutation(left, right, axis, max(within, 1e-5))
        if order is not None:
            return _worded(order, ("outputs", "inputs")[axis] if role == "kernel" and axis < 2 else f"axis {axis}")
    return None


def row_factors(pair: LayerPair, role: str, culprit: Culprit) -> list[float] | None:
    """What each output's row in few bits is multiplied by; None where rows differ otherwise, or not at all."""

    if step_of(culprit, pair) is None or role not in MATRICES or settled(pair, role, culprit):
        return None
    rows = _rows(pair, role)
    if rows is None:
        return None
    left, right = rows
    smaller = norm(left) / max(norm(right), 1e-30)  # a step is more of smaller numbers
    factors = output_factors(left, right, 0, within=allowance(pair, role, culprit) * max(smaller, _NEARLY))
    return None if factors is None else [float(factor) for factor in factors]


def _rows(pair: LayerPair, role: str) -> tuple[Array, Array] | None:
    """Both matrices, a row for each output; None where the rows are too short to tell anything."""
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    axis = output_axis(pair.candidate.operation, right)
    if axis is None or left.shape != right.shape or left.size // left.shape[axis] < _FEWEST:
        return None
    rows = [np.moveaxis(side, axis, 0).reshape(side.shape[axis], -1).astype(np.float64) for side in (left, right)]
    return rows[0], rows[1]


def _by_direction(pair: LayerPair, role: str) -> str | None:
    """Rows in another order that are each read with the scale of the place they came to."""
    found = _rows(pair, role)
    if found is None:
        return None
    rows = [row / np.maximum(np.abs(row).max(axis=1, keepdims=True), 1e-30) for row in found]
    order = relations.permutation(rows[0], rows[1], 0, 1 / _LEVELS / float(np.sqrt(np.mean(np.square(rows[0])))))
    return None if order is None else f"{_worded(order, 'outputs')}, each with the scale of its new place"


def _worded(order: tuple[int, ...], what: str) -> str:
    return f"{what} in the order {order[:6]}{' …' if len(order) > 6 else ''}"
