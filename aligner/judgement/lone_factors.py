"""Factors near one that stand in one model alone, in a region that the roundings of half precision hide them in.

Where a factor scales one branch of a sum, the sum is not larger as a whole by as much, and each element's error is
within the bound. The side that has it is computed again in more digits, as it is written and without the factor: of
what that changes, the other side's numbers hold all where they have it elsewhere, and nothing where they lack it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aligner.judgement.gain import factor_at, unit_of
from aligner.judgement.regression import lacks
from aligner.judgement.tolerance import region_numbers
from aligner.operations.kinds import SCALES
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Change, Subgraph

_NEAR_ONE = 0.5
"""Others are parts of a formula, or show whatever is rounded."""
_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError)


def may_hold_one(graphs: tuple[Graph, Graph], item: Measured) -> bool:
    """Whether a pair is off by something in half precision, and a region holds a factor that the other does not."""
    numbers = region_numbers(graphs, item)
    if item.local is None or item.local.mismatched or not item.local.errors.beyond or not unit_of(numbers):
        return False
    return any(_alone(Culprit(graphs, item), unit_of(numbers)))


def lone_factor(culprit: Culprit) -> tuple[Subgraph, Node, float] | None:
    """The side, the node and the number, where the other side's numbers hold nothing of it."""
    expected, found = culprit.expected, culprit.found
    if expected is None or found is None:
        return None
    for subgraph, node, number in _alone(culprit, unit_of(region_numbers(culprit.graphs, culprit.measured))):
        target = culprit.target(subgraph.side)
        ends = [_end(culprit, subgraph, node, by) for by in (1.0, 1 / number)]
        if target is None or ends[0] is None or ends[1] is None:
            continue
        if lacks(target, *(np.asarray(end, np.float64) for end in ends if end is not None)):
            return subgraph, node, number
    return None


def _alone(culprit: Culprit, unit: float) -> Iterator[tuple[Subgraph, Node, float]]:
    """Factors of either side that no factor of the other is: beyond what storing them rounds, the candidate's first."""
    both = [[(n, at[1]) for n in s.of_kind(*SCALES) if (at := factor_at(s, n))] for s in culprit.subgraphs]
    for side in (1, 0):
        others = [1.0, *(number for _, number in both[1 - side])]
        for node, number in both[side]:
            apart = [abs(number / other - 1) / (1 if other == 1 else 2) for other in others if other]
            if all(unit < one for one in apart) and abs(number - 1) < _NEAR_ONE:
                yield culprit.subgraphs[side], node, number


def _end(culprit: Culprit, subgraph: Subgraph, node: Node, by: float) -> Array | None:
    """A side's end, computed again with the factor times a number."""

    def scaled(operation: Operation) -> Operation:
        place = (factor_at(subgraph, node) or (1, 1.0))[0]
        data = list(operation.data)
        data[place] = data[place] * (by if operation.kind == "mul" else 1 / by)
        return operation.with_data(*data)

    try:
        return culprit.in_order(subgraph.replay(Change(operations={node.index: scaled})), subgraph.side)
    except _MISFITS:
        return None
