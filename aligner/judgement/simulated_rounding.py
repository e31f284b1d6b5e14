"""What rounding to the declared grids leaves of a region, simulated: the side of floats computed with it.

The bounds of few bits hold for any converter, and so are as wide as many a fault. Where one side is floats, its own
region is computed again with its matrices, what it reads and what it gives rounded to the other side's grids. That is
the noise that the declared precision has here; a region that is off by several times as much does something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from aligner.judgement.tolerance import region_numbers
from aligner.numerics.blocks import norm
from aligner.operations.kinds import QUANTIZES, SHIFTS, VIEWS
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Quantization, Weight
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.inner_tensors import Range, range_made_in, range_of
from aligner.regions.layer_numbers import MATRICES, step_of
from aligner.regions.layers import layer_pairs, layers
from aligner.regions.subgraph import Change, Subgraph

_TIMES = 3.0
"""How much further off than simulated (root mean square) a region may be: roundings learnt from data leave twice what
those to the nearest number do (0.6 of a step for 0.29), and a kernel a step of its own. Of 716 regions of clean pairs
the worst is at 1.98; steps read back as 1.05 of themselves are at 6.7 in the middle of 21 places
(``benchmarks.properties.few_bits``)."""
_ORDINARY = 0.012
"""Relative error that eight-bit weights leave as a rule (a step of 1/127 of four deviations, over √12: 0.9 %), below
which nothing is simulated; nine of ten clean regions keep below it (``benchmarks.properties.few_bits``: 1.14 %)."""
_MOST = 127
"""Codes on either side of zero, in eight bits, or of all in seven."""
_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Root mean squares: how far off the region is, and how far rounding to its grids leaves it."""

    seen: float
    expected: float

    @property
    def exceeded(self) -> bool:
        """Whether the region does more than round."""
        return self.seen > _TIMES * self.expected


def may_exceed(graphs: tuple[Graph, Graph], item: Measured) -> bool:
    """Whether a pair of few bits is off by more than is ordinary: more than a step of its own, or of weights."""
    local, numbers = item.local, region_numbers(graphs, item)
    if local is None or local.mismatched or not numbers.quantized or numbers.rounded:
        return False
    return local.errors.rmse > max(numbers.step, _ORDINARY * local.scale if numbers.storage else 0.0) > 0


def simulated(culprit: Culprit, answers: Mapping[str, str]) -> Simulated | None:
    """None where not all of a region's grids can be put into the other side; ``answers``: candidate value → the
    reference's."""
    coded = [_is_coded(subgraph) for subgraph in culprit.subgraphs]
    if coded.count(True) != 1 or culprit.misfit:
        return None
    plain, other = culprit.subgraphs[coded.index(False)], culprit.subgraphs[coded.index(True)]
    exact, found = culprit.actual(plain.side), culprit.actual(other.side)
    end = range_made_in(other.graph, other.region, other.output) or range_of(other.graph, other.output)
    if exact is None or found is None or exact.shape != found.shape or not _ends_alone(other, end):
        return None
    try:
        back = {value: name for name, value in answers.items()}
        change = _rounded(culprit, plain, other, answers if other.side else back)
        moved = _moved(culprit, plain, change) if change is not None else None
    except _MISFITS:
        return None
    added = _added_steps(other)
    if moved is None or added is None:
        return None
    wide = exact.astype(np.float64)
    rounded = wide + moved
    if end is not None:
        rounded = np.clip(end.low + np.rint((rounded - end.low) / end.step) * end.step, end.low, end.high)
        wide = np.clip(wide, end.low, end.high)
    own = (end.step**2 if end is not None else 0.0) + added
    expected = np.sqrt(norm(rounded - wide) ** 2 / wide.size + own / 12)
    return Simulated(norm(found.astype(np.float64) - wide) / np.sqrt(wide.size), float(expected))


def _is_coded(subgraph: Subgraph) -> bool:
    """Whether a side stores, reads or makes anything here in few bits."""
    names = [*subgraph.region.inputs, *(value for node in subgraph.nodes for value in node.outputs)]
    grids = [subgraph.graph.values[name].quantization for name in names if name in subgraph.graph.values]
    made = any(node.kind in QUANTIZES for node in subgraph.nodes) or any(map(_in_few_bits, subgraph.weights))
    return made or any(grid is not None for grid in grids)


def _in_few_bits(weight: Weight) -> bool:
    return weight.coded and "32" not in weight.dtype and "64" not in weight.dtype


def _ends_alone(subgraph: Subgraph, end: Range | None) -> bool:
    """Whether no grid is made inside a region but those of what it reads, and the one that it ends on: others round
    what is not simulated."""
    for node in subgraph.nodes:
        if node.kind == "quantize" and node.inputs[0] in subgraph.region.inputs:
            continue
        for name in node.outputs:
            known, held = subgraph.graph.values.get(name), range_of(subgraph.graph, name)
            coded = known is not None and known.quantization is not None
            if (coded and node.kind not in VIEWS and held != end) or (node.kind == "quantize" and held is None):
                return False
    return True


def _rounded(culprit: Culprit, plain: Subgraph, other: Subgraph, answers: Mapping[str, str]) -> Change | None:
    """The change that rounds what the region of floats reads and its matrices; None where a grid has no place there."""
    arrays: dict[str, Array] = {}
    for name, grid in _read(other):
        read = answers.get(name, "")
        if read not in {*plain.region.inputs, plain.output} or read not in plain.values:
            return None
        arrays[read] = grid(plain.values[read])
    matrices = [weight for weight in other.weights if _is_matrix(weight)]
    known = {(pair.reference, pair.candidate)[plain.side].node.index: pair for pair in layer_pairs(culprit)}
    operations: dict[int, Callable[[Operation], Operation]] = {}
    for layer in layers(plain):
        pair = known.get(layer.node.index)
        layer = layer if pair is None else (pair.reference, pair.candidate)[plain.side]
        role = next((name for name in layer.parameters if name in MATRICES), None)
        step = step_of(culprit, pair) if pair is not None else None
        if role is None:
            continue
        weights = layer.parameters[role].astype(np.float64)
        if step is None and any(np.prod(weight.shape) == weights.size for weight in matrices):
            step = np.full((1,) * weights.ndim, np.abs(weights).max(initial=0.0) / _MOST)
        if step is None:
            continue
        steps = np.broadcast_to(step, weights.shape)
        codes = np.rint(np.divide(weights, steps, out=np.zeros_like(weights), where=steps > 0))
        operations[layer.node.index] = _with_parameters(layer.bare({role: codes * steps}))
    # of several layers the numbers between may be of another size, and so is what rounding leaves of them
    return Change(operations, arrays) if len(operations) == len(matrices) <= 1 else None


def _read(subgraph: Subgraph) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """What a region reads in few bits, and what rounds to that; raises Unsupported for a grid of several steps.

    A reference in few bits hands on numbers that lie on the grid.
    """
    grids = [(name, name) for name in subgraph.region.inputs if subgraph.side]
    quantizing = [node for node in subgraph.of_kind("quantize") if node.inputs[0] in subgraph.region.inputs]
    grids += [(node.inputs[0], node.outputs[0]) for node in quantizing]
    for read, held in grids:
        known = subgraph.graph.values.get(held)
        grid = known.quantization if known is not None else None
        if grid is not None and len(grid.scale) != 1:
            raise Unsupported("a step for each slice")
        if known is not None and grid is not None:
            yield read, partial(_on_grid, grid, np.dtype(known.dtype or ""))
        elif read != held:
            yield read, _measured


def _on_grid(grid: Quantization, dtype: np.dtype[np.generic], array: Array) -> Array:
    return grid.dequantize(grid.quantize(array, dtype))


def _measured(array: Array) -> Array:
    """To as many steps, between the ends of the numbers and 0, as the tools that leave a bit free have."""
    wide = array.astype(np.float64)
    step = (max(wide.max(initial=0.0), 0.0) - min(wide.min(initial=0.0), 0.0)) / _MOST
    return np.asarray(np.rint(wide / step) * step if step else wide)


def _is_matrix(weight: Weight) -> bool:
    return len(weight.shape) > 1 and (_in_few_bits(weight) or weight.dtype.lower() in {"int8", "uint8"})


def _moved(culprit: Culprit, plain: Subgraph, change: Change) -> Array | None:
    """What a change does to the end of the region, in the reference's order."""
    if not change.operations and not change.arrays:
        return np.zeros(1)
    same = Change(dict.fromkeys(change.operations, _unchanged), {name: plain.values[name] for name in change.arrays})
    ends = [culprit.in_order(plain.replay(one), plain.side) for one in (change, same)]
    return None if ends[0] is None or ends[1] is None else ends[0].astype(np.float64) - ends[1]


def _with_parameters(given: Mapping[str, Array]) -> Callable[[Operation], Operation]:
    return lambda operation: operation.with_parameters(**given)


def _unchanged(operation: Operation) -> Operation:
    return operation


def _added_steps(subgraph: Subgraph) -> float | None:
    """Squares of the steps of vectors in few bits that are added; None of others, whose rounding is multiplied."""
    total = 0.0
    for node in subgraph.nodes:
        stored = (subgraph.stored(name) for name in node.inputs if name and subgraph.constant(name))
        for weight in stored:
            if weight is None or not _in_few_bits(weight) or _is_matrix(weight):
                continue
            if node.kind not in SHIFTS or weight.quantization is None:
                return None
            total += weight.quantization.step**2
    return total
