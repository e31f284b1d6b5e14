"""Outputs of one node in each other's place: a split whose parts are given in another order.

Numbers pair such outputs crosswise, and what is computed of them likewise, until two of them meet: there several nodes
err at once. Where all of them are right with the outputs in another order, it is the node before them that is wrong. A
converter that gives q, k and v in an order of its own harms no reader, and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations

from aligner.alignment.second_look import SecondLook
from aligner.execution.look import differences, stands_in
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.suspects import comes_right, suspects
from aligner.records.alignment import PairedValues
from aligner.records.graph import Node
from aligner.records.measurement import Measured

_TRIALS = 12
"""Runs at most: the orders of two splits into three, and some of two."""
_MOST_PARTS = 3
"""Outputs that are tried in every order: queries, keys and values."""


def exchanged(sides: Sides, passes: Passes, known: SecondLook) -> SecondLook | None:
    """What is known with a node's outputs in the order that makes all readers right; None where there is none."""
    graphs, measured = (sides[0].graph, sides[1].graph), list(passes.measured.values())
    walk, suspected = RegionWalk(measured, graphs[1]), suspects(graphs, measured)
    innocent = walk.items.keys() - suspected.keys()
    left = iter(range(_TRIALS))
    for now in _split(sides, measured, suspected) if len(suspected) > 1 else ():
        values = {item.pair.candidate for item in now}
        forms = walk.with_copies(values)  # in another order they answer other forms
        ends = walk.behind(values, (innocent - values) | forms).keys() & (suspected.keys() - forms)
        without = walk.between({*values, *ends}) - ends
        for pairs in _orders(sides, passes, now) if len(ends) > 1 else ():
            new = [(pair.reference, pair.candidate) for pair in pairs]
            if known.dropped.intersection(new) or next(left, None) is None:
                continue
            found = differences(passes, sorted(ends), walk.with_copies(without), pairs)
            if all(comes_right(graphs, passes.measured[end], found.get(end)) for end in ends):
                wrong = (item.pair for item in measured if item.pair.candidate in without)
                return known.repaired({(pair.reference, pair.candidate) for pair in wrong}, new)
    return None


def _split(sides: Sides, measured: Sequence[Measured], suspected: Collection[str]) -> Iterator[list[Measured]]:
    """The nearest nodes of several outputs before suspects, as pairs with the outputs of one node."""
    at, graph = {item.pair.candidate: item for item in measured}, sides[1].graph
    stack, seen, told = list(suspected), set(suspected), set[int]()
    while stack:
        item = at.get(stack.pop())
        for value in item.pair.candidate_region.inputs if item is not None else ():
            node = graph.producer(value)
            pairs = _answered(sides, at, node) if node is not None else []
            if node is not None and pairs and node.index not in told:
                told.add(node.index)
                yield pairs
            if not pairs and value not in seen and value not in suspected:
                seen.add(value)
                stack.append(value)


def _answered(sides: Sides, at: Mapping[str, Measured], node: Node) -> list[Measured]:
    """The pairs of a node's outputs, which the reference takes from one tensor, be it by one node or by several."""
    pairs = [at[value] for value in node.outputs if value in at]
    makers = [sides[0].graph.producer(item.pair.reference) for item in pairs]
    reads = [set(maker.inputs) & sides[0].graph.values.keys() for maker in makers if maker is not None]
    alike = len(reads) == len(makers) > 1 and bool(set.intersection(*reads) - sides[0].graph.weights.keys())
    return pairs if alike and len(pairs) <= _MOST_PARTS else []


def _orders(sides: Sides, passes: Passes, now: Sequence[Measured]) -> Iterator[list[PairedValues]]:
    """Every other order in which the reference's tensors fit."""
    names, axes = [item.pair.reference for item in now], [item.pair.axes for item in now]
    for order in permutations(names):
        pairs = [
            stands_in(passes, sides[1], name, item.pair.candidate, axes) for name, item in zip(order, now, strict=True)
        ]
        if list(order) != names and None not in pairs:
            yield [pair for pair in pairs if pair is not None]
