"""Slices that take other places than the reference's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.operations.operation import Operation
from aligner.operations.settings import Slice
from aligner.records.graph import Node
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.subgraph import Change, Subgraph

_MOST = 32
"""Places that are tried along one axis, the nearest first."""


class SliceBounds(Cause):
    """A slice begins or ends at another place."""

    id: ClassVar[str] = "slice-bounds"
    fix: ClassVar[str] = "slice as the reference does"
    example: ClassVar[str] = "x[:, 1:] for x[:, :-1]"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The reference's places in the candidate's slices; then every other place of each slice along each axis."""
        yield from _written(culprit)
        for subgraph, node, operation in culprit.nodes("slice"):
            if not isinstance(operation.settings, Slice):
                continue
            for which, (axis, start, end, step) in enumerate(operation.settings.places):
                begin, stop, _ = slice(start, end, step).indices(operation.data[0].shape[axis])
                for other in _others(begin, stop, operation.data[0].shape[axis], misfit=culprit.misfit):
                    yield self._claim(culprit, (subgraph, node, operation), which, (begin, stop), other)

    @staticmethod
    def _claim(
        culprit: Culprit,
        at: tuple[Subgraph, Node, Operation],
        which: int,
        own: tuple[int, int],
        other: tuple[int, int],
    ) -> Claim:
        subgraph, node, operation = at
        places = list(operation.read(Slice).places)
        axis, step = places[which][0], places[which][3]
        places[which] = (axis, *other, step)
        mine, theirs = (f"{a}:{b}" for a, b in ((other, own) if subgraph.side == 0 else (own, other)))
        whole = own[1] - own[0]
        return Claim(
            f"{culprit.where} takes {mine} along axis {axis}, the reference {theirs}",
            f"slice axis {axis} from {theirs.replace(':', ' to ')}",
            f"with {theirs} instead of {mine}",
            culprit.replaced(subgraph, node, operation.with_settings(places=tuple(places))),
            vague=whole > 1 and (other[0] - own[0]) % whole == 0,  # one of several parts, taken in another order
            node=node.name if subgraph.side == 1 else None,
        )


def _written(culprit: Culprit) -> Iterator[Claim]:
    """The slices of a region in a row, one axis each or several at once: the candidate's, where the reference's are."""
    cuts = [
        [
            (node, one)
            for each, node, one in culprit.nodes("slice", constant=True)
            if each is subgraph and one.kind == "slice"
        ]
        for subgraph in culprit.subgraphs
    ]
    both = [{place[0]: place for _, one in found for place in one.read(Slice).places} for found in cuts]
    differing = [axis for axis, place in both[1].items() if axis in both[0] and both[0][axis] != place]
    if not differing or culprit.measured.pair.axes is not None:
        return
    edits, named = {}, None
    for node, operation in cuts[1]:
        own = operation.read(Slice).places
        places = tuple(both[0].get(place[0], place) for place in own)
        if places != own:
            edits[node.index] = partial(Operation.with_settings, places=places)
            named = named or node
    mine, theirs = (", ".join(f"{_bounds(of[axis])} along axis {axis}" for axis in differing) for of in both[::-1])
    yield Claim(
        f"{named.name if named else culprit.where} takes {mine}, the reference {theirs}",
        f"slice {theirs}",
        f"with {theirs} instead of {mine}",
        Counterfactual(culprit, 1, Change(edits)),
        node=named.name if named else None,
        written=True,
        only_proven=True,
    )


def _bounds(place: tuple[int, ...]) -> str:
    """A place as Python writes it."""
    _, start, end, step = place
    stop = "" if end is None or end >= _WHOLE else str(end)
    return f"{start or 0}:{stop}" + (f":{step}" if step != 1 else "")


_WHOLE = 1 << 31
"""Ends beyond any axis: what exporters write for none."""


def _others(begin: int, stop: int, size: int, *, misfit: bool) -> Iterator[tuple[int, int]]:
    """Other places of the same length, the nearest first; where nothing fits, ends that are off by one."""
    if stop <= begin:
        return
    moves = sorted((move for move in range(-begin, size - stop + 1) if move), key=abs)
    yield from ((begin + move, stop + move) for move in moves[:_MOST])
    if misfit:
        ends = ((begin - 1, stop), (begin + 1, stop), (begin, stop - 1), (begin, stop + 1))
        yield from ((a, b) for a, b in ends if 0 <= a < b <= size)
