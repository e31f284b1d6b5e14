"""Readers that are to blame for a fault, and expect the candidate's form of what they read all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from aligner.judgement.joint_test import JointTest, Shown
from aligner.judgement.random_change import UNDONE
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.regression import LACKED, SURE, regression
from aligner.judgement.reordered import ChannelForm, form_along, is_another_form
from aligner.judgement.tolerance import masked_otherwise
from aligner.operations.kinds import SPATIAL
from aligner.operations.layouts import axis_of
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import MATRICES
from aligner.regions.layers import layer_pairs

_NEARER = 0.1
"""How far a kernel's size may be from the reference's over a factor, of how far it would be without the factor: wrong
entries change it by little, and one whose factor is missing altogether by 1."""
_MOST = 0.5
"""Share of a kernel's numbers that tell a factor whatever became of the others: unrelated ones hardly agree."""
_EQUAL = 1e-4
"""Of the largest magnitude, as in ``reordered``."""


def expects_form(test: JointTest, value: str, start: str, shown: Shown, computed: Collection[str]) -> bool:
    """Whether a guilty reader expects the candidate's form of what it reads from ``start`` on, or tells no difference.

    One that expects the reference's is off, on the candidate's, by what the form changes, and by what it does wrong
    itself; one that expects the candidate's by the latter alone. Where the form is a factor, both are the tensor itself
    in part, and its weights tell. ``computed``: what was in the run that is ``shown``.
    """
    own, left = test.walk.items[value].local, shown.exits[value].error
    if own is None or left.mismatched or not {value, start} <= shown.arrays.keys():
        return False
    factor = moved_factor(test.graphs, [test.walk.items[value]], start)
    if factor != 1 and _alike_besides(test.graphs, test.walk.items[value]):  # what is wrong besides is not its form
        return _is_multiple(factor, *shown.arrays[start])
    same = (left.errors.max_abs, left.errors.rmse) == (own.errors.max_abs, own.errors.rmse)
    if same and masked_otherwise(test.graphs, test.walk.items[start]):
        return True  # it makes the same of either number that stands for "masked"
    fed = test.changed(set(computed) - test.walk.with_copies([start]), [value]).arrays.get(value)
    found, expected = (np.asarray(one, np.float64) for one in shown.arrays[value])
    told = None if fed is None else regression(found - np.asarray(fed[0], np.float64), found - expected)
    if told is not None and told[0] <= LACKED and told[0] + SURE * told[1] < 1:
        # of two layers with strange weights, neither's numbers have to do with the other's, either
        undone = left.errors.rmse <= UNDONE * own.errors.rmse
        # what the reader makes may be moved on as well: then nobody has turned it back
        if undone or (is_another_form(*shown.arrays[start]) and not is_another_form(*shown.arrays[value])):
            return True
    return _makes_up_for(test.graphs, test.walk.items[value], *shown.arrays[start])


def reads_another(graphs: tuple[Graph, Graph], walk: RegionWalk, value: str) -> bool:
    """Whether a region reads a tensor that answers one beside what the reference's reads, neither made of the other:
    what it gives is another tensor, and no form of the same.
    """
    pair = walk.items[value].pair
    answers = {name: walk.items[name].pair.reference for name in pair.candidate_region.inputs if name in walk.items}
    mine, theirs = set(answers.values()), set(pair.reference_region.inputs)
    return any(not graphs[0].in_line(own, right) for own in mine - theirs for right in theirs - mine)


def _makes_up_for(graphs: tuple[Graph, Graph], reader: Measured, found: Array, expected: Array) -> bool:
    """Whether ``found`` is ``expected`` times a number, and the reader's kernel as large as the reference's over it: a
    factor that a converter has moved, whatever else the reader does, and whatever of its kernel is wrong."""
    left, right = (np.asarray(side, np.float64) for side in (expected, found))
    energy = float(np.square(left).sum()) if left.shape == right.shape else 0.0
    factor = float((left * right).sum()) / energy if energy > 0 and np.isfinite(energy) else 1.0
    if abs(factor - 1) <= _EQUAL or not _is_multiple(factor, found, expected):
        return False
    layers = _layers(graphs, reader)
    kernels = _kernels(layers)
    if not layers:
        return False
    sizes = [float(np.linalg.norm(np.asarray(kernel, np.float64))) for _, kernel in layers]
    off = sizes[0] / sizes[1] / factor if factor > 0 and all(sizes) else np.inf
    near = max(off, 1 / off) - 1 <= _NEARER * (max(factor, 1 / factor) - 1)
    return bool(near or (kernels is not None and _holding(factor, *kernels) >= _MOST))


def form_by_kernel(graphs: tuple[Graph, Graph], reader: Measured, rank: int) -> ChannelForm | None:
    """The form of a tensor of so many axes that a reader's kernel undoes: the reference's, its channels that are read
    in another order, or times factors."""
    layers = _layers(graphs, reader)
    kernels = _kernels(layers)
    if kernels is None:
        return None
    (expected, found), kind = kernels, layers[1][0].kind
    read = axis_of(kind, "kernel", "in")
    form = form_along(found, expected, read) if read is not None and read < found.ndim else None
    if form is None or (np.array_equal(form.order, np.arange(form.order.size)) and np.allclose(form.factor, 1)):
        return None
    last = kind not in SPATIAL or graphs[1].channels == "last"
    return ChannelForm(rank - 1 if last else 1, form.order, 1 / form.factor)


def _is_multiple(factor: float, found: Array, expected: Array) -> bool:
    left, right = (np.asarray(side, np.float64) for side in (expected, found))
    return left.shape == right.shape and bool(np.abs(right - factor * left).max() <= _EQUAL * np.abs(right).max())


def moved_factor(graphs: tuple[Graph, Graph], items: Iterable[Measured], value: str) -> float:
    """By how much the candidate's tensor is to be larger than the reference's: what all that read it have in their
    kernels; 1 where something else reads it, or where most numbers of a kernel say nothing of the kind."""
    factors = []
    for reader in items:
        if value in reader.pair.candidate_region.inputs:
            kernels = _kernels(_layers(graphs, reader))
            if kernels is None or not all(kernel.any() for kernel in kernels):
                return 1.0
            told = kernels[1] != 0
            factor = float(np.median(kernels[0][told] / kernels[1][told]))
            factors.append(factor if _holding(factor, *kernels) >= _MOST else 1.0)
    agreed = factors and all(abs(factor - factors[0]) <= _EQUAL * abs(factors[0]) for factor in factors)
    return factors[0] if agreed and factors[0] and abs(factors[0] - 1) > _EQUAL else 1.0


def _holding(factor: float, reference: Array, candidate: Array) -> float:
    """Share of a kernel's numbers that are the reference's over a factor."""
    apart = np.abs(reference - factor * candidate)
    return float(np.mean(apart <= _EQUAL * np.abs(reference).max()))


def _alike_besides(graphs: tuple[Graph, Graph], reader: Measured) -> bool:
    """Whether a region's layers have the reference's numbers besides their kernels: no offset went into them."""
    return all(
        mine.keys() == theirs.keys()
        and all(
            mine[role].size == theirs[role].size
            and np.allclose(np.ravel(mine[role]), np.ravel(theirs[role]), _EQUAL, _EQUAL)
            for role in mine.keys() - MATRICES
        )
        for pair in layer_pairs(Culprit(graphs, reader, None))
        for mine, theirs in [(pair.reference.parameters, pair.candidate.parameters)]
    )


def _kernels(layers: list[tuple[Operation, Array]]) -> tuple[Array, Array] | None:
    """The kernels of one layer's two sides, where they are of one shape."""
    if not layers or layers[0][1].shape != layers[1][1].shape:
        return None
    one, other = (np.asarray(kernel, np.float64) for _, kernel in layers)
    return one, other


def _layers(graphs: tuple[Graph, Graph], reader: Measured) -> list[tuple[Operation, Array]]:
    """Of a pair that is one layer on both sides the reference's and the candidate's, with their kernels."""
    try:
        found = [
            [(side.operation, side.parameters[role]) for side in (pair.reference, pair.candidate)]
            for pair in layer_pairs(Culprit(graphs, reader, None))
            for role in pair.roles
            if role in MATRICES
        ]
    except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
        return []
    return found[0] if len(found) == 1 else []
