"""One node that is wrong, or lost, in a formula of which the reference computes the whole in one node.

Nobody can look into that node, but the formula can be computed anew: with the operands of a node exchanged, with
another number in the place of one that stands there, with a number more, or with two of its tensors put together (where
a node reads one operand of a lost one, the other is still there if anything else reads it). The place where that makes
the formula right is told. The formula may end in a multiple of what the reference computes, of which its readers know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from aligner.api.joined_parts import wanted_of
from aligner.api.sister_region import of_numbers
from aligner.execution.look import shown
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.borderline import MOST
from aligner.judgement.form_readers import moved_factor
from aligner.judgement.suspects import limit, suspects
from aligner.operations.kinds import ELEMENTWISE, ORDERED
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
_STEPS, _NEARER = 12, 0.5
"""Steps to a number, and how much of the squared error each may leave: near the right one next to nothing."""
_WIDTH = 1e-4
"""Over which a slope is taken, relative: the root of what float32 rounds, so that neither bends nor rounding count."""


def formula_fault(sides: Sides, passes: Passes, item: Measured) -> Found | None:
    """(The node, "operand", "constant" or "missing", None), the first that explains the error; takes one run.

    "missing": what should be between the node and what it reads.
    """
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
    factor = moved_factor(graphs, passes.measured.values(), pair.candidate)
    wanted = wanted.astype(np.float64) * factor
    places = _telling(np.abs(found.astype(np.float64) - wanted).reshape(-1))
    few = {name: array.reshape(-1)[places] for name, array in arrays.items()}
    expected = wanted.reshape(-1)[places]
    allowed = abs(factor) * MOST * limit(graphs, replace(item, noise=None), item.local)  # noise is of other numbers
    subgraph = Subgraph(graphs[1], item, 1, Evidence(expected, few[pair.candidate], ({}, few)))

    def off(changed: Change) -> Array | None:
        """What the formula gives then, less what it should; a row for each that a change puts there."""
        try:
            return np.atleast_2d(subgraph.replay(changed).astype(np.float64) - expected)
        except (Unsupported, ValueError):
            return None

    if not (np.abs(few[pair.candidate].astype(np.float64) - expected) > allowed).any():
        return None
    alone = [node for node in nodes if not _read_elsewhere(graphs[1], nodes, node)]
    for node, word, changed in (*_exchanged(nodes), *_numbers(subgraph, alone, off), *_changes(graphs[1], nodes, few)):
        apart = off(changed)
        if apart is not None and (np.abs(apart) <= allowed).all(axis=-1).any():
            return node.name, word, None
    return None


def _read_elsewhere(graph: Graph, nodes: list[Node], node: Node) -> bool:
    """Whether what a node leads to is read by others than the formula: they would be wrong if the node were."""
    inside = {each.index for each in nodes}
    made = {name for each in nodes[:-1] for name in each.outputs} & {*node.outputs, *graph.descendants(node.outputs)}
    return any(reader.index not in inside for name in made for reader in graph.readers(name))


def _exchanged(nodes: list[Node]) -> Iterator[tuple[Node, str, Change]]:
    """The operands of each node that tells them apart, the other way round."""
    for node in nodes:
        if node.kind in ORDERED:
            yield node, "operand", change_node(node, lambda made: replace(made, data=made.data[::-1]))


def _numbers(
    subgraph: Subgraph, nodes: list[Node], off: Callable[[Change], Array | None]
) -> Iterator[tuple[Node, str, Change]]:
    """Each operand of each node that is one number as another number, then each that is none times one or plus one.

    The number is the one that comes nearest, by Gauss and Newton from what is there. A product of numbers alone in a
    row is told at its first.
    """
    for word, hows in (("constant", (_instead,)), ("missing", (np.multiply, np.add))):
        for node in nodes:
            operation = subgraph.operation(node)
            for place, array in enumerate(operation.data if operation is not None else ()):
                if (array.size == 1) != (word == "constant"):
                    continue
                for how in hows:
                    start = float(array.reshape(-1)[0]) if how is _instead else float(how is np.multiply)
                    changed = partial(_with, node, place, how)
                    found = _fitted(off, changed, start)
                    if found is not None:
                        yield node, word, changed(np.array([[found]]))


def _instead(array: Array, number: Array) -> Array:  # noqa: ARG001 - as what puts both together
    return number


def _with(node: Node, place: int, how: Callable[[Array, Array], Array], numbers: Array) -> Change:
    """An operand put together with numbers, a row each."""

    def edit(operation: Operation) -> Operation:
        data = [*operation.data]
        data[place] = how(data[place], numbers)
        return replace(operation, data=tuple(data))

    return change_node(node, edit)


def _fitted(off: Callable[[Change], Array | None], changed: Callable[[Array], Change], number: float) -> float | None:
    """The number that leaves the least; None where the first step leads no nearer."""
    best, before = None, np.inf
    for _ in range(_STEPS):
        width = _WIDTH * max(abs(number), 1.0)
        rows = off(changed(np.array([[number], [number + width]])))
        left = float(np.square(rows[0]).sum()) if rows is not None and len(rows) == 2 else np.nan
        if rows is None or not left <= _NEARER * before:
            return best
        slope = (rows[1] - rows[0]) / width
        energy = float(np.square(slope).sum())
        if not energy or not np.isfinite(energy):
            return best
        best, before = (number if before < np.inf else None), left
        number -= float((slope * rows[0]).sum()) / energy
    return best


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


def _changes(graph: Graph, nodes: list[Node], arrays: Mapping[str, Array]) -> Iterator[tuple[Node, str, Change]]:
    """Each operand of each node put together with every tensor that is there by then, a row each; first nodes first.

    Arrays of one dimension become such of two: a formula computes element by element.
    """
    for node in nodes:
        behind = graph.descendants(node.outputs)
        there = [array for name, array in arrays.items() if name not in behind]
        for name in dict.fromkeys(node.inputs):
            if name in arrays:
                with np.errstate(all="ignore"):
                    rows = np.stack([together(arrays[name], other) for other in there for together in _TOGETHER])
                yield node, "missing", change_node(node, _reading(arrays[name], rows))


def _reading(before: Array, array: Array) -> Callable[[Operation], Operation]:
    """What changes the operand of an operation that is one array into another."""

    def edit(operation: Operation) -> Operation:
        return replace(
            operation, data=tuple(array if np.array_equal(data, before) else data for data in operation.data)
        )

    return edit
