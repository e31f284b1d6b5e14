"""A region whose end joins parts, as the steps of an unrolled recurrence: right ones tell which nodes do not err."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from aligner.records.array import Array
from aligner.records.graph import Graph, Node

Part = tuple[str, Array]
"""A value and what it should hold."""


def by_parts(
    graph: Graph, region: tuple[Collection[str], Sequence[Node]], arrays: Mapping[str, Array], end: Part, allowed: float
) -> Sequence[Node]:
    """The nodes that all wrong parts of an end are computed by, those that no right one is come last; all of them where
    no part is wrong. What lies behind the end comes first: it may hand on a right one in another order.

    ``region`` holds what it starts from and its nodes, ``arrays`` what its values are, ``end`` what its last one should
    be; parts are right that are no further off than ``allowed``.
    """
    entries, nodes = region
    wrong, right = list[set[int]](), set[int]()
    for value, wanted in _parts(graph, arrays, end):
        with np.errstate(all="ignore"):
            apart = np.abs(arrays[value].astype(np.float64) - wanted).max(initial=0.0)
        made_by = {node.index for node in graph.region(entries, value)}
        if apart <= allowed:
            right |= made_by
        else:
            wrong.append(made_by)
    if not wrong:
        return nodes
    common, before = set.intersection(*wrong), {node.index for node in graph.region(entries, end[0])}
    behind = [node for node in nodes if node.index not in before]
    made = [node for node in nodes if node.index in common]
    return [*behind, *sorted(made, key=lambda node: node.index not in right)]


def _parts(graph: Graph, arrays: Mapping[str, Array], end: Part) -> Iterator[Part]:
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
