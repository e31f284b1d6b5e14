"""A number that one side multiplies a tensor by, and that the weights of what reads it make up for."""

from __future__ import annotations

import numpy as np

from aligner.numerics import relations
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import MATRICES
from aligner.regions.layers import layer_pairs

_EQUAL = 1e-4
"""Of the largest magnitude, as in ``reordered``."""


def makes_up_for(graphs: tuple[Graph, Graph], reader: Measured, found: Array, expected: Array) -> bool:
    """Whether ``found`` is ``expected`` times a number, and the reader's kernel the reference's over it: a factor that
    a converter has moved, whatever else the reader does."""
    left, right = (np.asarray(side, np.float64) for side in (expected, found))
    energy = float(np.square(left).sum()) if left.shape == right.shape else 0.0
    factor = float((left * right).sum()) / energy if energy > 0 and np.isfinite(energy) else 1.0
    if abs(factor - 1) <= _EQUAL or not np.abs(right - factor * left).max() <= _EQUAL * np.abs(right).max():
        return False
    try:
        pairs = layer_pairs(Culprit(graphs, reader, None))
        kernels = [
            [side.parameters[role] for side in (pair.reference, pair.candidate)]
            for pair in pairs
            for role in pair.roles
            if role in MATRICES
        ]
    except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
        return False
    return len(kernels) == 1 and relations.gap(kernels[0][0], factor * kernels[0][1]) <= relations.SAME
