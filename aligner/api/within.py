"""Which node of a region errs, where its inside has no partners on the other side.

Where the reference computes the whole in one node, the inside of that node is replayed on its own operands, and
believed if the replay ends in what the runtime showed. Each of these virtual tensors is tried in the place of a tensor
of the candidate's region: where the region's end comes out right, everything behind that place is right.

Where that tells nothing, the candidate's own nodes are stepped over, one or a few in a row, the tensor before standing
for the tensor after: a region that is right without a node has one too many, however it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from aligner.api.first_nonfinite import first_nonfinite
from aligner.api.formula_fault import formula_fault
from aligner.api.joined_parts import by_parts, judged
from aligner.api.lost_node import lost_node
from aligner.api.open_suspects import open_suspects
from aligner.api.repeated_term import repeated_term
from aligner.api.sister_region import parted, parted_step
from aligner.api.turned_operand import turned
from aligner.api.virtual_tensors import FEW, inside_of_one, inside_of_several, laid_as
from aligner.execution.look import differences, shown
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide, Sides
from aligner.judgement.suspects import comes_right, suspects
from aligner.operations.kinds import LAYOUT, VIEWS
from aligner.operations.lowering import Primitive
from aligner.records.alignment import Region
from aligner.records.array import Array
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

_CULPRITS = 2
"""The first culprits, which are looked into: every one takes runs of its own."""
_TRIALS = 24
"""Runs for all of them together, of either kind."""
_IN_A_ROW = 3
"""Nodes that are stepped over together: scale, round, scale back; quantize, dequantize; cast there and back."""
_HALVES = 2
"""Pairs from the first half of another way to compute the same to its end: a rectifier may stand between layers.

Forms of a tensor (a cast, a transposition) are no pairs of their own.
"""
_NEAREST = _TRIALS // _CULPRITS
"""Further runs for each of them with all that several nodes of the reference hold inside."""
_ROUNDED = 4 * float(np.finfo(np.float32).eps)
"""Of a tensor's peak: what a few roundings of single precision do to one number."""
_LARGE = 1 << 28
"""Bytes of a region's tensors from which on they are not kept for this."""

Found = tuple[str, str, str | None]
Place = tuple[str, Array, Found]
"""A value of the candidate, what is put there, and what it tells where the region's end comes out right."""


def locate_within(sides: Sides, passes: Passes, missing: Mapping[str, Found]) -> None:
    """Note at the first culprits which of their nodes errs; ``missing``: what is known of pairs that lack a node."""
    trials = iter(range(_TRIALS)), iter(range(_TRIALS))
    known = dict(missing)
    for item in open_suspects(sides, passes, _CULPRITS):
        value = item.pair.candidate
        if value not in known and (
            found := _searched(sides, passes, item, trials, known) or first_nonfinite(sides, item)
        ):
            known[value] = found
    for value, found in known.items():  # the end of another way to compute the same may lie behind the first culprits
        if (told := passes.measured.get(value)) is not None:
            passes.measured[value] = replace(told, pair=replace(told.pair, within=found))


def _searched(
    sides: Sides, passes: Passes, item: Measured, trials: tuple[Iterator[int], Iterator[int]], known: dict[str, Found]
) -> Found | None:
    """What trials tell of one culprit; of few bits they tell nothing."""
    if item.step is not None or item.pair.candidate not in passes.injectable():
        return None
    graphs = sides[0].graph, sides[1].graph
    halves, _, forms = _halves(sides[1], passes, item)
    ends = [item, *suspects(graphs, halves[1:]).values()]  # what is right as it is makes up for nothing
    free = forms if len(ends) > 1 else ()
    found = _tried(graphs, passes, ends, _inside(sides, passes, item, free), trials[0], free)
    found = found or _tried(graphs, passes, [item], _nearest(sides, passes, item), iter(range(_NEAREST)))
    if found is None or _several_make(graphs[1], item, found[0]):
        found = _extra(sides, passes, item, trials[1], known) or found
    found = found or lost_node(sides, passes, item, trials[1], known)
    found = found or _tried(graphs, passes, [item], _constant(sides, item), trials[1])
    found = found or turned(sides, passes, item, trials[1]) or parted(sides, passes, item)
    return found or formula_fault(sides, passes, item)


def _several_make(graph: Graph, item: Measured, name: str) -> bool:
    """Whether more nodes of a region than one lead to a node, so that one of them may be the one too many."""
    region = item.pair.candidate_region
    node = next((graph.nodes[index] for index in region.nodes if graph.nodes[index].name == name), None)
    return node is not None and len(graph.region(region.inputs, node.outputs[0])) > 1


def _extra(sides: Sides, passes: Passes, item: Measured, left: Iterator[int], known: dict[str, Found]) -> Found | None:
    """A node without which the region is right, its forms left alone; of several, as of one twice, the last.

    Or one that it makes up with what reads it: another way to compute the same is right at its end alone, of which it
    is ``known`` then, too.
    """
    graphs, later = (sides[0].graph, sides[1].graph), dict[str, Found]()
    ends, nodes, forms = _halves(sides[1], passes, item)
    inner = [name for node in nodes for name in node.outputs if name]
    start = [name for node in nodes for name in node.inputs if name in passes.measured and name not in inner]
    if len(nodes) < 2 or sum(_bytes(sides[1], name) for name in inner) > _LARGE:
        return None
    arrays = shown(sides[1], passes, [*start, *inner], forms)
    if (twice := repeated_term(sides, item, arrays)) is not None:
        return twice
    parts = judged(sides, item, start, arrays) if len(nodes) > _IN_A_ROW else []
    before = {node.index for node in graphs[1].region(start, item.pair.candidate)}
    doubtful, end = by_parts(parts, nodes, before), ends[-1].pair.candidate
    for value, array, found in _places(graphs[1], doubtful, arrays, forms, end):
        if next(left, None) is None:
            break
        apart = differences(passes, [one.pair.candidate for one in ends], forms, override={value: array})
        right = {name: found for one in ends if comes_right(graphs, one, apart.get(name := one.pair.candidate))}
        if item.pair.candidate in right:
            return found
        later = right | later
    known |= later
    told = next((later[name] for one in ends if (name := one.pair.candidate) in later), None)
    return told or parted_step(graphs[1], parts)


def _halves(side: OpenSide, passes: Passes, item: Measured) -> tuple[list[Measured], list[Node], set[str]]:
    """A pair and those whose other half it may be, each the only reader of the one before; all nodes, and the forms."""
    nodes, forms = _moved_by(side.graph, passes, item)
    ends = [item]
    while sum(one.pair.rule != "layout" for one in ends[1:]) < _HALVES:
        value = ends[-1].pair.candidate
        readers = [one for one in passes.measured.values() if value in one.pair.candidate_region.inputs]
        if len(readers) != 1:
            break
        ends += readers
        forms.add(value)
        nodes += (side.graph.nodes[index] for index in readers[0].pair.candidate_region.nodes)
    return ends, nodes, forms


def _places(
    graph: Graph, nodes: Sequence[Node], arrays: Mapping[str, Array], forms: Collection[str], end: str
) -> Iterator[Place]:
    """Each tensor before an end, with what one to a few nodes in a row make it of in its place; the last first."""
    for steps in range(1, _IN_A_ROW + 1):
        for node in reversed(nodes):
            for value in node.outputs if forms or node.kind not in VIEWS else ():
                before = _before(graph, arrays, value, steps) if value != end else None
                if before is not None:
                    yield value, arrays[before[0]], (before[1], "extra", None)


def _tried(
    graphs: tuple[Graph, Graph],
    passes: Passes,
    ends: Sequence[Measured],
    places: Iterable[Place],
    left: Iterator[int],
    forms: Collection[str] = (),
) -> Found | None:
    """The first place where the tensor that is put there makes one of some ends right; each costs a run."""
    for value, array, found in places:
        if next(left, None) is None:
            return None
        apart = differences(passes, [one.pair.candidate for one in ends], forms, override={value: array})
        if any(comes_right(graphs, one, apart.get(one.pair.candidate)) for one in ends):
            return found
    return None


def _moved_by(graph: Graph, passes: Passes, item: Measured) -> tuple[list[Node], set[str]]:
    """The nodes of a pair's region; of a moved form all moves since the tensor was made, and the forms in between."""
    nodes = [graph.nodes[index] for index in item.pair.candidate_region.nodes]
    forms = set[str]()
    while all(node.kind in VIEWS for node in nodes) and len(item.pair.candidate_region.inputs) == 1:
        source = passes.measured.get(item.pair.candidate_region.inputs[0])
        if source is None or source.pair.rule != "layout":
            break
        item = source
        forms.add(item.pair.candidate)
        nodes = [*(graph.nodes[index] for index in item.pair.candidate_region.nodes), *nodes]
    return nodes, forms


def _bytes(side: OpenSide, value: str) -> int:
    seen = side.profile.sketches.get(value) if side.profile is not None else None
    return 8 * seen.size if seen is not None else 0


def _before(graph: Graph, arrays: Mapping[str, Array], value: str, steps: int) -> tuple[str, str] | None:
    """The tensor that so many nodes turn into this one of its shape and dtype, and the last of them that computes."""
    after, name, node = arrays.get(value), value, None
    if after is None or after.dtype.kind != "f" or after.size < FEW:
        return None
    for _ in range(steps):
        maker = graph.producer(name)
        data = [read for read in maker.inputs if read in arrays] if maker is not None else []
        if maker is None or len(data) != 1:
            return None
        node = node or maker.name
        name = data[0]
    before = arrays[name]
    alike = (before.shape, before.dtype) == (after.shape, after.dtype)
    return (name, node) if alike and node is not None else None


def _inside(sides: Sides, passes: Passes, item: Measured, forms: Collection[str]) -> Iterator[Place]:
    """Each virtual tensor in the place of each of the candidate's, the earliest first: (its node, the primitive).

    What holds the numbers of a virtual tensor is right: nothing is put in its place.
    """
    steps = inside_of_one(sides, item) if len(item.pair.candidate_region.nodes) > 1 else ()
    for node, value, held, fitting in _fitting(sides, passes, item, steps, forms):
        if not any(_equal(array, held) for _, array in fitting):
            yield from ((value, array, (node.name, name, None)) for name, array in fitting)


def _nearest(sides: Sides, passes: Passes, item: Measured) -> Iterator[Place]:
    """In the place of each of the candidate's tensors all that a few nodes of the reference hold inside, the nearest
    first, factors in them moved on or back: a layer with a sixth of the hard sigmoid behind it in its kernel.
    """
    steps = inside_of_several(sides, item) if len(item.pair.candidate_region.nodes) > 1 else ()
    for node, value, held, fitting in _fitting(sides, passes, item, steps):
        if held is None or any(_equal(array, held) for _, array in fitting):
            continue
        apart = [_apart(array, held) for _, array in fitting]
        for place in np.argsort(apart, kind="stable"):
            yield value, fitting[place][1], (node.name, fitting[place][0], None)


def _apart(expected: Array, found: Array) -> float:
    """How far a tensor is off, its mean left aside, relative to zeros."""
    both = [np.asarray(array, np.float64) - np.mean(array, dtype=np.float64) for array in (expected, found)]
    return float(np.linalg.norm(both[1] - both[0])) / max(float(np.linalg.norm(both[0])), 1e-300)


def _fitting(
    sides: Sides, passes: Passes, item: Measured, steps: Sequence[Primitive], forms: Collection[str] = ()
) -> Iterator[tuple[Node, str, Array | None, list[tuple[str, Array]]]]:
    """Each tensor inside the candidate's region, what it holds, and the virtual tensors as it would hold them."""
    graph, profile, region = sides[1].graph, sides[1].profile, item.pair.candidate_region
    if not steps or profile is None:
        return
    names = [name for index in region.nodes for name in graph.nodes[index].outputs if name]
    held = shown(sides[1], passes, names, forms) if sum(_bytes(sides[1], name) for name in names) <= _LARGE else {}
    for index in region.nodes:
        node = graph.nodes[index]
        for value in node.outputs:
            seen = profile.sketches.get(value)
            if seen is None or value == item.pair.candidate or node.kind in LAYOUT:
                continue
            laid = [(step.name, laid_as(step.value, item, seen.shape, seen.dtype)) for step in steps]
            yield node, value, held.get(value), [(name, array) for name, array in laid if array is not None]


def _equal(expected: Array, found: Array | None) -> bool:
    """Whether two tensors are the same but for rounding, which is far below what an error within a region does."""
    if found is None or found.shape != expected.shape:
        return False
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True):
        return False
    right, held = expected[finite], np.asarray(found[finite], np.float64)
    return bool(np.abs(held - right).max(initial=0.0) <= _ROUNDED * float(np.abs(right).max(initial=0.0)))


def _constant(sides: Sides, item: Measured) -> Iterator[Place]:
    """Each of the reference's constants, what it computes them of among them, and then each tensor inside its region,
    in the place of one that the candidate computes of constants alone: the earliest place first, but that those come
    last which hold numbers of the reference's. One in the place of which a tensor inside the region belongs no longer
    reads what that comes from.
    """
    graphs, pair, regions = (sides[0].graph, sides[1].graph), item.pair, item.pair.regions
    made = graphs[1].ancestors(_constants(graphs[1], regions[1])) - graphs[1].weights.keys()
    makers = {name: node for name in made if (node := graphs[1].producer(name)) is not None}
    if not makers or sum(_bytes(sides[1], name) for name in makers) > _LARGE:
        return
    nodes = [graphs[0].nodes[index] for index in regions[0].nodes]
    inner = {name: node.name for node in nodes for name in node.outputs if name != pair.reference}
    theirs = sorted(graphs[0].ancestors(_constants(graphs[0], regions[0])))
    constant = {name: node.name if (node := graphs[0].producer(name)) is not None else None for name in theirs}
    held = _numbers(sides[1], sorted(makers, key=lambda name: makers[name].index))
    for sources in (constant, {name: maker for name, maker in inner.items() if graphs[0].varies(name)}):
        numbers = _numbers(sides[0], [*sources]) if held and sources else {}
        known = {place for place, array in held.items() if any(_equal(other, array) for other in numbers.values())}
        for place in sorted(held, key=known.__contains__):
            array = held[place]
            for name, other in numbers.items():
                if other.shape == array.shape and not np.array_equal(laid := other.astype(array.dtype), array):
                    yield place, laid, (makers[place].name, "constant", sources[name])


def _constants(graph: Graph, region: Region) -> list[str]:
    read = [name for index in region.nodes for name in graph.nodes[index].inputs if name]
    return [name for name in dict.fromkeys(read) if not graph.varies(name)]


def _numbers(side: OpenSide, names: Sequence[str]) -> dict[str, Array]:
    """Floating-point constants, stored or computed."""
    weights = side.graph.weights
    found: dict[str, Array] = {name: weights[name].values() for name in names if name in weights}
    computed = [name for name in names if name not in weights]
    if computed:
        found |= {tensor.value: tensor.real() for tensor in side.replay(computed)}
    return {name: array for name, array in found.items() if array.dtype.kind == "f" and array.size >= FEW}
