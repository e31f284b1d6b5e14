"""A node of the reference without which its region gives what the candidate's gives: the one that the candidate lacks.

It is the counterpart of a node too many, and as little depends on what the candidate's region holds inside: channels
in another order, a kernel with a factor moved in. Where the candidate's tensor is one before the reference's last node
but for a factor and an offset of each channel, as a layer gives whose normalisation stands apart, that node is lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from aligner.execution.look import made_of_reference, without_step
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.reordered import is_another_form
from aligner.judgement.suspects import comes_right
from aligner.operations.kinds import PARAMETRIC, VIEWS
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.records.tensor import CapturedTensor

Found = tuple[str, str, str | None]


def lost_node(
    sides: Sides, passes: Passes, item: Measured, left: Iterator[int], known: dict[str, Found]
) -> Found | None:
    """(The candidate's node that reads too early a tensor, "missing", the reference's node); of several the last.

    Where the pair is half of another way to compute the same, its only reader is the end that has to come out right, of
    which it is ``known`` then.
    """
    if not sides[0].session.capabilities.can_inject:
        return None
    value, region = item.pair.candidate, item.pair.reference_region
    readers = [one for one in passes.measured.values() if value in one.pair.candidate_region.inputs]
    found = _found(sides, passes, item, (region.inputs, region.nodes), frozenset(), left)
    if found is None and len(readers) == 1:
        end = readers[0].pair
        both = (*region.inputs, *end.reference_region.inputs), (*region.nodes, *end.reference_region.nodes)
        found = _found(sides, passes, readers[0], both, frozenset({value}), left)
        if found is not None:
            known[end.candidate] = found
    return found


def _found(
    sides: Sides,
    passes: Passes,
    item: Measured,
    region: tuple[tuple[str, ...], tuple[int, ...]],
    without: frozenset[str],
    left: Iterator[int],
) -> Found | None:
    graphs, pair = (sides[0].graph, sides[1].graph), item.pair
    nodes = [node for index in region[1] if (node := graphs[0].nodes[index]).kind not in VIEWS]
    inner = {name: node for node in nodes for name in node.outputs if name and name != pair.reference}
    made = made_of_reference(passes, pair.candidate, without) if nodes else None
    if made is None:
        return None
    wanted = [*region[0], *inner, pair.reference]
    tensors = {tensor.value: tensor for tensor in sides[0].replay(wanted) if tensor.occurrence == 0}
    arrays = {name: tensor.array for name, tensor in tensors.items()}
    readers = graphs[1].readers(pair.candidate)
    for end in (node for node in nodes if readers and pair.reference in node.outputs):
        for before in _before(graphs[0], end, arrays):
            if comes_right(graphs, item, passes.held(pair.candidate, tensors[before], made)):
                return readers[0].name, "missing", end.name
        maker = graphs[1].producer(pair.candidate)
        if maker is None or maker.kind not in PARAMETRIC or _is_form(pair, made, arrays.get(pair.reference)):
            continue
        if any(_is_form(pair, made, arrays[name]) for name in _before(graphs[0], end, arrays) if name in inner):
            return readers[0].name, "missing", end.name
    for value, node in reversed(inner.items()):
        after = arrays.get(value)
        for before in _before(graphs[0], node, arrays) if after is not None and after.dtype.kind == "f" else ():
            array = arrays[before]
            if after is None or (array.shape, array.dtype) != (after.shape, after.dtype):
                continue
            if next(left, None) is None:
                return None
            if comes_right(graphs, item, without_step(passes, pair, value, array, made)):
                return _reader(sides, passes, item, before), "missing", node.name
    return None


def _is_form(pair: PairedValues, made: CapturedTensor, array: Array | None) -> bool:
    """Whether what the candidate makes holds a tensor's numbers but for a factor and an offset of each channel."""
    laid = to_candidate(array, pair.axes, made.array.shape) if array is not None else None
    return laid is not None and laid.dtype.kind == "f" and is_another_form(made.real(), laid)


def _before(graph: Graph, node: Node, arrays: dict[str, Array]) -> list[str]:
    """What a tensor of a region is computed from, the nearest first."""
    found, waiting = dict[str, None](), [node]
    while waiting:
        for name in waiting.pop(0).inputs:
            if name in arrays and name not in found:
                found[name] = None
                maker = graph.producer(name)
                waiting += [maker] if maker is not None else []
    return list(found)


def _reader(sides: Sides, passes: Passes, item: Measured, before: str) -> str:
    """The candidate's node that reads what answers a tensor of the reference; the region's end where nothing does."""
    graph, region = sides[1].graph, item.pair.candidate_region
    answers = {one.pair.candidate for one in passes.measured.values() if one.pair.reference == before}
    nodes = [graph.nodes[index] for index in region.nodes]
    reading = next((node for node in nodes if not answers.isdisjoint(node.inputs)), None)
    return (reading or nodes[-1]).name if nodes else item.pair.candidate
