"""Where in a region the error is made: tensors between its ends are tried in each other's place.

If the reference's tensor, put in the place of one of the candidate's, makes the end of the region right, everything
behind that place is right and answers the reference: the error is made before it. So a node that only the candidate
has (a clip, noise, a cast) is found between the tensor that it reads and the tensor that it should have left alone; and
of a node that it lacks, the tensor that should have gone through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aligner.alignment.second_look import SecondLook
from aligner.execution.look import stands_in, trial
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.judgement.borderline import MOST
from aligner.judgement.wrong_pairs import excess, suspects, with_forms
from aligner.operations.kinds import COMBINES, LAYOUT
from aligner.records.alignment import PairedValues, Region
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

_CULPRITS = 4
"""The first culprits are narrowed down; those behind them mostly are of the same making."""
_TRIALS = 24
"""Runs for all of them together; a region has few tensors of one size on both sides."""

Sides = tuple[OpenSide, OpenSide]


@dataclass(frozen=True, slots=True)
class _Place:
    """A tensor of the candidate in whose place one of the reference's makes the region right."""

    pair: PairedValues
    entry: bool
    """The candidate's tensor has a partner of its own: a node is missing behind it."""


def narrowed(sides: Sides, passes: Passes, known: SecondLook) -> SecondLook | None:
    """What is known with the places of errors within their regions; None where nothing can be said more exactly."""
    graphs = sides[0].graph, sides[1].graph
    measured = list(passes.measured.values())
    partner = {item.pair.candidate: item.pair.reference for item in measured}
    added, left = known, iter(range(_TRIALS))
    for item in list(suspects(graphs, measured).values())[:_CULPRITS]:
        place = _place(sides, passes, item, partner, left)
        if place is None:
            continue
        pair = (place.pair.reference, place.pair.candidate)
        if place.entry:
            dropped = (partner[pair[1]], pair[1])
            found = tuple(one for one in added.found if one != dropped)
            added = replace(added, dropped=added.dropped | {dropped}, found=(*found, pair))
        else:
            added = replace(added, inserted=(*added.inserted, pair))
    return None if added == known else added


def _place(sides: Sides, passes: Passes, item: Measured, partner: dict[str, str], left: Iterator[int]) -> _Place | None:
    graphs = sides[0].graph, sides[1].graph
    orders = [item.pair.axes, *(one.pair.axes for one in _entries(passes, item)), None]
    for reference, value, entry in _options(graphs, item, partner):
        pair = stands_in(passes, sides[1], reference, value, orders)
        if pair is None:
            continue
        if next(left, None) is None:
            return None
        forms = with_forms(graphs, list(passes.measured.values()), {value})
        found = trial(passes, item.pair.candidate, pair, forms)
        if excess(graphs, item, found) <= MOST:
            return _Place(pair, entry)
    return None


def _entries(passes: Passes, item: Measured) -> Iterator[Measured]:
    return (passes.measured[value] for value in item.pair.candidate_region.inputs if value in passes.measured)


def _options(graphs: tuple[Graph, Graph], item: Measured, partner: dict[str, str]) -> Iterator[tuple[str, str, bool]]:
    """(reference, candidate, whether that has a partner): the earliest place of the candidate first."""
    regions = item.pair.reference_region, item.pair.candidate_region
    inner = [_inside(graph, region, end) for graph, region, end in zip(graphs, regions, _ends(item), strict=True)]
    for value in regions[1].inputs:
        if value not in partner or any(node.index not in regions[1].nodes for node in graphs[1].readers(value)):
            continue  # others read it, and they want what it is
        value = _origin(graphs[1], value, partner)
        if value in partner and value not in graphs[1].inputs:
            yield from ((reference, value, True) for reference in inner[0] if not _of_a_constant(graphs[0], reference))
    starts = [name for name in regions[0].inputs if name not in graphs[0].inputs]
    for value in inner[1]:
        yield from ((reference, value, False) for reference in (*starts, *inner[0]))


def _of_a_constant(graph: Graph, value: str) -> bool:
    """Whether a node combines a tensor with a constant: a lost bias or factor is told with what it belongs to."""
    node = graph.producer(value)
    return node is not None and node.kind in COMBINES and len([name for name in node.inputs if graph.varies(name)]) < 2


def _origin(graph: Graph, value: str, partner: dict[str, str]) -> str:
    """What a moved form was moved from, as long as nothing else reads it."""
    while (node := graph.producer(value)) is not None and node.kind in LAYOUT:
        source = next((name for name in node.inputs if name in partner), None)
        if source is None or len(graph.readers(source)) > 1:
            break
        value = source
    return value


def _ends(item: Measured) -> tuple[str, str]:
    return item.pair.reference, item.pair.candidate


def _inside(graph: Graph, region: Region, end: str) -> list[str]:
    return [value for index in region.nodes for value in graph.nodes[index].outputs if value and value != end]
