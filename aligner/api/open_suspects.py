"""The pairs that surely err and whose error nothing makes up for: what is looked into first."""

from __future__ import annotations

from collections.abc import Collection

from aligner.execution.look import differences
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.suspects import made_up_for, suspects, watched
from aligner.records.measurement import Measured

_FEW = 32
"""Pairs that may always be left out at once, however few there are: of a small model they may be most."""
_MOST = 0.5
"""Share of the pairs that may be left out of a run, or so few: with more it is no run on the reference's tensors."""


def is_many(left_out: int, measured: int) -> bool:
    """Whether errors are the rule, so that nothing stands out."""
    return left_out > max(_FEW, _MOST * measured)


def open_suspects(sides: Sides, passes: Passes, most: int) -> list[Measured]:
    """The first suspects, those left out behind which everything is right without them: they hold other forms of their
    tensors, and looking into them costs the runs that a fault would be found by. One run, where there are more.
    """
    graphs, measured = (sides[0].graph, sides[1].graph), list(passes.measured.values())
    walk, suspected = RegionWalk(measured, graphs[1]), suspects(graphs, measured)
    if len(suspected) <= most:
        return list(suspected.values())
    left_out = walk.with_copies(suspected) | _handing_on(walk, suspected)
    if is_many(len(left_out), len(measured)):
        return list(suspected.values())[:most]
    without = differences(passes, watched(walk, left_out), left_out)
    forms = made_up_for(graphs, walk, without, left_out)
    chosen = [item for value, item in suspected.items() if value not in forms]
    return (chosen or list(suspected.values()))[:most]


def _handing_on(walk: RegionWalk, suspected: Collection[str]) -> set[str]:
    """The pairs that only suspects read and that read a suspect: a rectifier hands a factor on, which the layer behind
    it takes away again.
    """
    reading = {value: walk.readers([value]) for value in walk.behind(suspected, ())}
    return {value for value, readers in reading.items() if readers and readers <= set(suspected)}
