"""The numbers of two layers that answer each other: in which roles they differ, and on which grid they lie."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from aligner.numerics import relations
from aligner.numerics.rounding import SUBNORMAL, UNITS
from aligner.parameters.folding import output_axis, scaled
from aligner.records.array import Array
from aligner.records.graph import Weight
from aligner.regions.culprit import Culprit
from aligner.regions.layers import LayerPair

MATRICES = frozenset({"kernel", "w", "r", "table"})
"""Roles of the parameters that are stored in few bits."""
COARSE_BIAS = 2e-3
"""Distance of a bias stored in 32 bits by the product of two scales: coarser than float32, finer than a step of
weights."""


def differing(pair: LayerPair) -> list[str]:
    """Roles in which the two layers hold other numbers, a bias that one side lacks among them."""
    found = [role for role in pair.roles if not same_numbers_in(pair, role)]
    mine, theirs = pair.reference.parameters, pair.candidate.parameters
    if "bias" in mine and "bias" not in theirs and mine["bias"].any():
        found.append("bias")
    return found


def same_numbers_in(pair: LayerPair, role: str) -> bool:
    """Whether one parameter holds the same numbers on both sides, in whatever shape."""
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    if left.shape != right.shape:
        left, right = left.reshape(-1), right.reshape(-1)
    return relations.gap(left, right) <= relations.SAME


def step_of(culprit: Culprit, pair: LayerPair) -> Array | None:
    """The quantisation step of a pair's matrix, one for each output where there are as many; None for floats."""
    found = None
    for subgraph, layer in ((culprit.reference, pair.reference), (culprit.candidate, pair.candidate)):
        weight = subgraph.quantized(layer.node)
        role = next((name for name in layer.parameters if name in MATRICES), None)
        if weight is None or role is None:
            continue
        matrix = layer.parameters[role]
        axis = output_axis(layer.operation, matrix)
        if weight.spacing is not None:
            step = _spaced(weight, weight.spacing(), layer.bare(layer.parameters)[role])
        else:
            step = _by_slice(weight, matrix, axis)
        if layer.scale is not None and axis is not None:
            step = scaled(step, np.abs(layer.scale), axis)
        found = step if found is None or found.ndim != step.ndim else np.maximum(found, step)
    return found


def spacing(sizes: Array, unit: float) -> Array:
    """How far apart the numbers of a floating-point type are at these sizes; ``unit``: half of that at 1.0."""
    exponents = np.frexp(sizes)[1]  # of sizes from ½ to 1, times a power of two
    smallest = SUBNORMAL["float16"] if unit == UNITS["float16"] else 0.0
    apart: Array = np.maximum(np.ldexp(unit, exponents), smallest)
    return apart


def _by_slice(weight: Weight, matrix: Array, axis: int | None) -> Array:
    """The step of each output's slice, or the largest one, to be laid on the matrix."""
    step: Array = np.asarray(weight.quantization.scale if weight.quantization else (), np.float64)
    if axis is None or matrix.shape[axis] != step.size:
        return np.full([1] * matrix.ndim, step.max())
    return step.reshape([step.size if place == axis else 1 for place in range(matrix.ndim)])


def _spaced(weight: Weight, steps: Array, matrix: Array) -> Array:
    """The step of each number, in the order of axes in which the layer has the weight; the largest one in any other."""
    values = weight.values()
    for axes in permutations(range(values.ndim)):
        if np.array_equal(values.transpose(axes), matrix):
            return np.transpose(steps, axes)
    return np.full([1] * matrix.ndim, steps.max())
