"""A region whose end joins parts, as the steps of an unrolled recurrence: right ones tell which nodes do not err."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aligner.execution.side import Sides
from aligner.judgement.borderline import MOST
from aligner.judgement.suspects import limit
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

Part = tuple[str, Array]
"""A value and what it should hold."""


class Judged(NamedTuple):
    """A part of a region's end, all nodes of the region that it is computed by, and whether it is right."""

    value: str
    made_by: frozenset[int]
    right: bool


def judged(sides: Sides, item: Measured, entries: Collection[str], arrays: Mapping[str, Array]) -> list[Judged]:
    """The parts that a pair's tensor is joined of, or itself; nothing where its numbers are not at hand.

    ``entries`` are what its region starts from, ``arrays`` what the candidate computes of the reference's tensors.
    """
    graphs, wanted = (sides[0].graph, sides[1].graph), wanted_of(sides, item, arrays)
    if wanted is None or item.local is None:
        return []
    end, allowed = (item.pair.candidate, wanted), MOST * limit(graphs, item, item.local)
    return [_judged(graphs[1], entries, arrays, part, allowed) for part in parts_of(graphs[1], arrays, end)]


def wanted_of(sides: Sides, item: Measured, arrays: Mapping[str, Array]) -> Array | None:
    """The reference's tensor of a pair in the layout of the candidate's, which is among ``arrays``."""
    whole = arrays.get(item.pair.candidate)
    for tensor in sides[0].replay([item.pair.reference]) if whole is not None else ():
        if whole is not None:
            return to_candidate(tensor.real(), item.pair.axes, whole.shape)
    return None


def _judged(graph: Graph, entries: Collection[str], arrays: Mapping[str, Array], part: Part, allowed: float) -> Judged:
    value, wanted = part
    with np.errstate(all="ignore"):
        apart = np.abs(arrays[value].astype(np.float64) - wanted).max(initial=0.0)
    made_by = frozenset(node.index for node in graph.region(entries, value))
    return Judged(value, made_by, bool(apart <= allowed))


def by_parts(parts: Sequence[Judged], nodes: Sequence[Node], before: Collection[int]) -> Sequence[Node]:
    """The nodes that all wrong parts of an end are computed by, those that no right one is come last; all of them where
    no part is wrong. What lies behind the end comes first: it may hand on a right one in another order.

    ``before``: the nodes that the end is computed by, by number.
    """
    wrong = [part.made_by for part in parts if not part.right]
    if not wrong:
        return nodes
    right = frozenset[int]().union(*(part.made_by for part in parts if part.right))
    common = frozenset.intersection(*wrong)
    behind = [node for node in nodes if node.index not in before]
    made = [node for node in nodes if node.index in common]
    return [*behind, *sorted(made, key=lambda node: node.index not in right)]


def parts_of(graph: Graph, arrays: Mapping[str, Array], end: Part) -> Iterator[Part]:
    """What an end is joined of, through joined parts; the end itself where it is not."""
    stack = [end]
    while stack:
        value, wanted = stack.pop()
        maker = graph.producer(value)
        joined = _joined(maker.inputs, arrays, arrays[value], wanted) if maker is not None else []
        stack += joined
        if not joined:
            yield value, wanted


def _joined(names: Collection[str], arrays: Mapping[str, Array], whole: Array, wanted: Array) -> list[Part]:
    """The operands that stand side by side in a whole, along an axis of theirs or a new one, each as wanted."""
    parts = [(name, arrays[name]) for name in names if name in arrays]
    if len(parts) < 2 or len(parts) < len(names) or sum(part.size for _, part in parts) != whole.size:
        return []
    for axis in range(whole.ndim):
        apart = any(part.ndim != whole.ndim for _, part in parts)
        sizes = [1 if apart else part.shape[axis] for _, part in parts]
        if sum(sizes) != whole.shape[axis]:
            continue
        ends = np.cumsum(sizes)[:-1]
        pieces = np.split(whole, ends, axis), np.split(wanted, ends, axis)
        fits = all(piece.size == part.size for piece, (_, part) in zip(pieces[0], parts, strict=True))
        if fits and all(
            np.array_equal(piece.reshape(part.shape), part, equal_nan=part.dtype.kind == "f")
            for piece, (_, part) in zip(pieces[0], parts, strict=True)
        ):
            return [(name, piece.reshape(part.shape)) for (name, part), piece in zip(parts, pieces[1], strict=True)]
    return []
