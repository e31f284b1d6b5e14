"""A term that a sum of many counts twice: what the sum is off by are its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aligner.api.joined_parts import parts_of, wanted_of
from aligner.execution.side import Sides
from aligner.judgement.borderline import MOST
from aligner.judgement.suspects import limit
from aligner.operations.kinds import LAYOUT, VIEWS
from aligner.records.array import Array
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

Found = tuple[str, str, str | None]


def repeated_term(sides: Sides, item: Measured, arrays: Mapping[str, Array]) -> Found | None:
    """(The last node that adds it, "extra", None); ``arrays``: what the candidate's region computes of the reference's
    tensors. No run: a sum of sums is looked through, and each part of an end that joins some by itself."""
    graph, wanted = sides[1].graph, wanted_of(sides, item, arrays)
    if wanted is None or item.local is None:
        return None
    allowed = MOST * limit((sides[0].graph, graph), item, item.local)
    for value, expected in parts_of(graph, arrays, (item.pair.candidate, wanted)):
        with np.errstate(all="ignore"):
            left = arrays[value].astype(np.float64) - expected
            if np.abs(left).max(initial=0.0) > allowed and (name := _repeated(graph, arrays, value, left, allowed)):
                return name, "extra", None
    return None


def _repeated(graph: Graph, arrays: Mapping[str, Array], end: str, left: Array, allowed: float) -> str | None:
    """The last node that adds what a sum is off by; ``left`` is that, laid out like the ``end``, moves undone."""
    found, seen, stack = None, set[str](), [(end, left)]
    while stack:
        value, left = stack.pop()
        node = graph.producer(value)
        if node is None or value in seen or (node.kind != "add" and node.kind not in LAYOUT):
            continue
        seen.add(value)
        for name in node.inputs:
            term = arrays.get(name)
            laid = left if node.kind == "add" else _before(node, left, term)
            if term is None or laid is None or laid.shape != term.shape:
                continue
            stack.append((name, laid))
            if node.kind == "add" and np.abs(laid - term).max(initial=0.0) <= allowed:
                found = node if found is None or found.index < node.index else found
    return found.name if found is not None else None


def _before(node: Node, array: Array, source: Array | None) -> Array | None:
    """A tensor as it was before a node that moved it."""
    if source is None or source.size != array.size:
        return None
    if node.kind != "transpose":
        return array.reshape(source.shape) if node.kind in VIEWS else None
    perm = node.permutation(array.ndim)
    return array.transpose(np.argsort(perm)) if perm is not None else None
