"""Moves that are meant although something behind them does not treat them so: fewer nodes err then.

Where sizes are equal, a tensor is moved, computed with, and moved back, and one of these nodes is wrong, nothing reads
the moved tensor as the reference's is read, and all of the moves look wrong. With all others meant, one node errs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aligner.alignment.second_look import SecondLook
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.suspects import suspects
from aligner.records.alignment import Alignment

_MOST = 4
"""Moves of which each is tried as the only wrong one: there, back, and the same of a second factor."""


def with_meant_moves(
    sides: Sides,
    passes: Passes,
    alignment: Alignment,
    known: SecondLook,
    align: Callable[[SecondLook], Alignment],
    measure: Callable[[Alignment], None],
) -> Alignment:
    """The alignment with all doubtful moves but one meant, if fewer pairs err with it; else as it is."""
    doubtful = alignment.unmeant
    erring = _erring(sides, passes)
    if not 2 <= len(doubtful) <= _MOST or erring.isdisjoint(doubtful) or len(erring) < 2:
        return alignment
    for wrong in reversed(doubtful):
        tried = align(replace(known, meant=frozenset(doubtful) - {wrong}))
        measure(tried)
        if len(_erring(sides, passes)) < len(erring):
            return tried
    measure(alignment)
    return alignment


def _erring(sides: Sides, passes: Passes) -> set[str]:
    return set(suspects((sides[0].graph, sides[1].graph), passes.measured.values()))
