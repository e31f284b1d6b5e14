"""A loop of one side against the other's steps: where one side alone has loops, they are written out."""

from __future__ import annotations

from aligner.adapters.base import Unrolls
from aligner.execution.side import OpenSide, Sides


def unroll(sides: Sides) -> None:
    """Read the side anew that alone has loops, if it can write them out; both graphs have been read."""
    for side, other in (sides, sides[::-1]):
        if isinstance(side.session, Unrolls) and _has_loop(side) and not _has_loop(other):
            unrolled = side.session.unrolled()
            if unrolled is not None:
                side.session = unrolled
                side.read(side.feeds)


def _has_loop(side: OpenSide) -> bool:
    return any(node.kind == "loop" for node in side.graph.nodes)
