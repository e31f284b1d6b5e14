"""Whether a culprit would be right with what it reads turned: the node that moves that errs, and not the culprit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from aligner.execution.look import differences, shown
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.suspects import comes_right, suspects
from aligner.operations.kinds import LAYOUT
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

Found = tuple[str, str, None]


def turned(sides: Sides, passes: Passes, item: Measured, left: Iterator[int]) -> Found | None:
    """(The node that moves, "order" or "extra"); each array that is tried takes one of the runs that are ``left``.

    Another order of equal axes may make right what reads the culprit: it errs as well, for it moves the axes back. Or
    the culprit itself is right with a form before a move that leads back to a form before that.
    """
    graphs, value = (sides[0].graph, sides[1].graph), item.pair.candidate
    wrong = suspects(graphs, list(passes.measured.values()))
    behind = [one for one in wrong.values() if value in one.pair.candidate_region.inputs]
    for name in item.pair.candidate_region.inputs:
        chain = _moved_from(graphs[1], name)
        held = shown(sides[1], passes, chain) if len(chain) > (1 if behind else 2) else {}
        orders = [(array, "order", behind) for array in _other_orders(held.get(name))] if behind else []
        detours = [(array, "extra", [item]) for array in _detours([held.get(one) for one in chain])]
        for array, told, ends in (*orders, *detours):
            if next(left, None) is None:
                return None
            without = {value} if told == "order" else ()
            apart = differences(passes, [one.pair.candidate for one in ends], without, override={name: array})
            maker = graphs[1].producer(name)
            if maker is not None and all(comes_right(graphs, one, apart.get(one.pair.candidate)) for one in ends):
                return maker.name, told, None
    return None


def _moved_from(graph: Graph, value: str) -> list[str]:
    """A tensor and those that it was moved from, the last first."""
    found = [value]
    while (maker := graph.producer(found[-1])) is not None and maker.kind in LAYOUT and maker.inputs:
        found.append(maker.inputs[0])
    return found


def _detours(chain: list[Array | None]) -> Iterator[Array]:
    """The form right before the last, where that is the one before again."""
    last, *before = chain
    if len(before) < 2 or last is None or before[0] is None or before[0].shape != last.shape:
        return
    if not np.array_equal(before[0], last) and any(one is not None and np.array_equal(one, last) for one in before[1:]):
        yield before[0]


def _other_orders(array: Array | None) -> Iterator[Array]:
    """An array with two axes of one size in each other's place."""
    shape = array.shape if array is not None else ()
    for one, other in combinations(range(len(shape)), 2):
        if array is not None and shape[one] == shape[other] > 1:
            yield array.swapaxes(one, other)
