"""Which node of a region errs, where a change of that node alone leaves nothing of the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aligner.records.comparison import GUILTY, Finding, Pair, Within

_ALL = 0.999
"""Share of the error that is all of it: as much as a replay's own rounding may leave is below."""


def with_proven_places(pairs: Sequence[Pair], causes: Sequence[Finding]) -> list[Pair]:
    """The pairs; guilty ones of which nothing tells the node inside have it from the first of their causes."""
    return [replace(pair, within=found) if (found := _place(pair, causes)) is not None else pair for pair in pairs]


def _place(pair: Pair, causes: Sequence[Finding]) -> Within | None:
    if pair.verdict not in GUILTY or pair.within is not None:
        return None
    first = next((cause for cause in causes if cause.speaks_of(pair)), None)
    if first is None or (first.explained or 0.0) < _ALL or first.node == pair.candidate.node:
        return None
    return Within(first.node, first.id) if first.node in pair.candidate_nodes else None
