"""Tensors of few bits inside a region, each beside what its node computes of what it was seen to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from aligner.numerics.coded_steps import OWN_STEPS
from aligner.operations.kinds import BOUNDED, PICKED, QUANTIZES, VIEWS
from aligner.operations.operation import Operation, Unsupported, results
from aligner.operations.settings import Settings
from aligner.records.alignment import Region
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Change

CODES = 2**8 - 1
"""Steps between the ends of eight bits."""
SATURATED = 1e-3
"""Share of elements outside the quantised range, or off by more than steps explain, from which anything is said: as
many as the boldest of the usual calibrations by percentile leaves out (99.9 %: Wu et al., arXiv:2004.09602)."""
_LEAST_RANGE = 2e-6
"""TFLite's converter widens what is narrower to this (kNearZeroTolerance on either side, quantization_interface.cc)."""
_READS_BACK = VIEWS | {"dequantize"}
_FEW_BITS = ("int8", "uint8", "int16", "uint16")
_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError)
"""What settings and arrays of unforeseen form raise."""


@dataclass(frozen=True, slots=True)
class Range:
    """One step for a whole tensor, and the ends of what it can hold."""

    step: float
    low: float
    high: float

    @property
    def codes(self) -> int:
        """Steps between the ends."""
        return round((self.high - self.low) / self.step)


@dataclass(eq=False)
class InnerTensor:
    """``exact`` is computed in real numbers, and without an end to its range; ``seen`` is what the runtime showed."""

    culprit: Culprit
    side: int
    node: Node
    value: str
    range: Range
    exact: Array
    seen: Array

    @cached_property
    def off(self) -> Array:
        """Which elements are further off than steps explain."""
        return np.asarray(np.abs(self.exact.astype(np.float64) - self.seen) > OWN_STEPS * self.range.step)

    @property
    def is_cut(self) -> bool:
        """Whether most of what is off lies beyond the range."""
        beyond = (self.exact > self.range.high) | (self.exact < self.range.low)
        return bool(2 * (self.off & beyond).sum() > self.off.sum())

    def end(self, array: Array) -> Array | None:
        """What the region's end becomes with an array in the tensor's place, in the reference's order."""
        try:
            replayed = self.culprit.subgraphs[self.side].replay(
                Change(arrays={self.value: array.astype(self.seen.dtype)})
            )
        except _MISFITS:
            return None
        return self.culprit.in_order(replayed, self.side)


def range_of(graph: Graph, value: str) -> Range | None:
    """The range of a tensor that is stored in few bits; None where it is none, or each slice has one of its own."""
    known = graph.values.get(value)
    grid = known.quantization if known is not None else None
    if known is None or grid is None or len(grid.scale) != 1 or not (known.dtype or "").startswith(_FEW_BITS):
        return None
    limits = np.iinfo(np.dtype(known.dtype or ""))
    low, high = grid.dequantize(np.array([limits.min, limits.max])).tolist()
    return Range(grid.scale[0], low, high)


def range_made_in(graph: Graph, region: Region, value: str) -> Range | None:
    """The range that a value's numbers have been given by a node of a region, whatever it is read back as."""
    held = None
    while (node := graph.producer(value)) is not None and node.index in region.nodes:
        before = node.inputs[0] if node.inputs else ""
        held = range_of(graph, value)
        if held is not None and held != range_of(graph, before):
            return held
        if node.kind not in _READS_BACK and held is None:
            return None
        value = before
    return None


def is_given(graph: Graph, value: str, held: Range) -> bool:
    """Whether a range follows from what makes the value, or from its converter, and from no numbers: all that a softmax
    or a sigmoid can give, or the least that there is."""
    while (node := graph.producer(value)) is not None and node.kind in _READS_BACK | {"quantize"}:
        value = node.inputs[0] if node.inputs else ""
    bounded = node is not None and node.kind in BOUNDED and -1 - held.step <= held.low and held.high <= 1 + held.step
    return bounded or held.high - held.low <= _LEAST_RANGE + held.step


def is_read_otherwise(graph: Graph, value: str, node: Node) -> bool:
    """Whether a node that only moves codes gives them another meaning."""
    if node.kind not in VIEWS | PICKED or not node.inputs:
        return False
    before, after = range_of(graph, node.inputs[0]), range_of(graph, value)
    return before is not None and after is not None and before != after


def inside(nodes: Sequence[Node], end: str) -> Iterator[tuple[str, Node]]:
    """The tensors that some nodes make, but for the one that a region ends in."""
    return ((value, node) for node in nodes for value in node.outputs if value and value != end)


def inner_tensors(culprit: Culprit, side: int = 1) -> Iterator[InnerTensor]:
    """Those of a side's region that were seen and whose nodes can be replayed, in order."""
    subgraph = culprit.subgraphs[side]
    for value, node in inside(subgraph.nodes, subgraph.output):
        held, seen, operation = range_of(subgraph.graph, value), subgraph.values.get(value), subgraph.operation(node)
        if held is None or seen is None or operation is None or seen.size == 0:
            continue
        try:
            exact = _exact(node, operation, value)
        except _MISFITS:
            continue
        if exact.shape == seen.shape:
            yield InnerTensor(culprit, side, node, value, held, exact, seen)


def _exact(node: Node, operation: Operation, value: str) -> Array:
    if node.kind in QUANTIZES:
        return operation.data[0]
    free = operation.with_settings(range=None) if operation.read(Settings).range is not None else operation
    return results(free)[node.outputs.index(value)]
