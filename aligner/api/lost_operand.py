"""A product, a sum or a difference that is lost in a formula of which the reference computes the whole in one node.

Nobody can look into that node, but the formula can be computed anew: where a node reads one operand of the lost one,
the other is still there if anything else reads it. The place where putting both together makes the formula right is
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from aligner.api.joined_parts import wanted_of
from aligner.api.sister_region import of_numbers
from aligner.execution.look import shown
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.borderline import MOST
from aligner.judgement.suspects import limit, suspects
from aligner.operations.kinds import ELEMENTWISE
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.subgraph import Change, Evidence, Subgraph, change_node

Found = tuple[str, str, str | None]
_NODES = range(3, 49)
"""Nodes of a formula: a shorter one is told by its end; the polynomial of a GELU has 24. Each two are put together."""
_LARGE = 1 << 25
"""Numbers of all tensors of a formula from which on they are not kept for this."""
_SAMPLE = 256
"""Numbers of each tensor: a wrong formula fits one by chance at most, and they are computed a thousand times."""
_TOGETHER = (np.multiply, np.add, np.subtract)


def lost_operand(sides: Sides, passes: Passes, item: Measured) -> Found | None:
    """(The node that reads one operand alone, "missing", None), the first that explains the error; takes one run."""
    graphs, item = (sides[0].graph, sides[1].graph), _whole(sides, passes, item)
    pair, region = item.pair, item.pair.candidate_region
    nodes = [graphs[1].nodes[index] for index in region.nodes]
    formula = all(node.kind in ELEMENTWISE and len(node.outputs) == 1 for node in nodes)
    if item.local is None or len(nodes) not in _NODES or not formula or not of_numbers(graphs[1], nodes):
        return None
    inner = [node.outputs[0] for node in nodes]
    size = sides[1].profile.sketches[pair.candidate].size if sides[1].profile is not None else _LARGE
    if size * len(inner) > _LARGE:
        return None
    arrays = shown(sides[1], passes, [*region.inputs, *inner], {name for name in inner if name in passes.measured})
    found, wanted = arrays.get(pair.candidate), wanted_of(sides, item, arrays)
    if found is None or wanted is None or any(array.shape != found.shape for array in arrays.values()):
        return None
    places = _telling(np.abs(found.astype(np.float64) - wanted).reshape(-1))
    few = {name: array.reshape(-1)[places] for name, array in arrays.items()}
    expected = wanted.reshape(-1)[places]
    allowed = MOST * limit(graphs, replace(item, noise=None), item.local)  # noise was measured on other numbers
    subgraph = Subgraph(graphs[1], item, 1, Evidence(expected, few[pair.candidate], ({}, few)))
    for node, changed in _changes(graphs[1], nodes, few):
        try:
            apart = np.abs(subgraph.replay(changed).astype(np.float64) - expected)
        except (Unsupported, ValueError):
            continue
        if (apart <= allowed).all(axis=-1).any():
            return node.name, "missing", None
    return None


def _whole(sides: Sides, passes: Passes, item: Measured) -> Measured:
    """A pair whose region does not start from pairs that err, nor from what only those lead to: they are inside of it.

    Sums of a formula are paired with sums of another, where nothing else is to be had.
    """
    graphs, start = (sides[0].graph, sides[1].graph), list[str]()
    wrong = set(suspects(graphs, passes.measured.values()))
    entries = dict.fromkeys(item.pair.candidate_region.inputs)
    waiting = [*entries]
    while waiting:
        entry = waiting.pop()
        pair = passes.measured[entry].pair if entry in passes.measured else None
        inputs = pair.candidate_region.inputs if pair is not None else ()
        if entry in wrong or (inputs and wrong.issuperset(inputs)):
            waiting += [value for value in inputs if value not in entries]
            entries |= dict.fromkeys(inputs)
        else:
            start.append(entry)
    nodes = tuple(node.index for node in graphs[1].region(start, item.pair.candidate))
    region = replace(item.pair.candidate_region, inputs=tuple(start), nodes=nodes)
    return replace(item, pair=replace(item.pair, candidate_region=region))


def _telling(errors: Array) -> Array:
    """Places in a tensor: those that err most, and as many others."""
    some = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")[: _SAMPLE // 2]
    return np.unique([*some, *np.linspace(0, errors.size - 1, _SAMPLE // 2).astype(int)])


def _changes(graph: Graph, nodes: list[Node], arrays: Mapping[str, Array]) -> Iterator[tuple[Node, Change]]:
    """Each operand of each node put together with every tensor that is there by then, a row each; the first node first.

    Arrays of one dimension become such of two: a formula computes element by element.
    """
    for node in nodes:
        behind = graph.descendants(node.outputs)
        there = [array for name, array in arrays.items() if name not in behind]
        for name in dict.fromkeys(node.inputs):
            if name in arrays:
                with np.errstate(all="ignore"):
                    rows = np.stack([together(arrays[name], other) for other in there for together in _TOGETHER])
                yield node, change_node(node, _reading(arrays[name], rows))


def _reading(before: Array, array: Array) -> Callable[[Operation], Operation]:
    """What changes the operand of an operation that is one array into another."""

    def edit(operation: Operation) -> Operation:
        return replace(
            operation, data=tuple(array if np.array_equal(data, before) else data for data in operation.data)
        )

    return edit
