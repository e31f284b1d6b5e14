"""A culprit's region on both sides: what every cause looks at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from aligner.numerics.blocks import norm
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.numerics.rounding import unit
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.axis_order import to_reference
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.subgraph import Change, Evidence, Subgraph, change_node

MISFIT = 1e-2
"""Share of the reference's norm that stands for the error where shapes do not fit and none can be measured."""
ROUNDING = 2.0**-16
"""Relative distance of two float32 kernels of one operation: 2⁻²⁴ times K, for sums of K = 256 terms that cancel."""
FAITHFUL = 0.05
"""A replay counts as faithful when it misses the real output by at most this share of the error to be explained …"""
_ROUNDED = 0.5
"""… or by what half precision or a grid rounds of the output, where that is less than half of it."""


class Culprit:
    """One guilty pair: both sides' regions, and the arrays of its local error where they were gathered."""

    def __init__(self, graphs: tuple[Graph, Graph], measured: Measured, evidence: Evidence | None = None) -> None:
        self.measured, self.evidence, self.graphs = measured, evidence, graphs
        self.reference = Subgraph(graphs[0], measured, 0, evidence)
        self.candidate = Subgraph(graphs[1], measured, 1, evidence)
        self.subgraphs = (self.reference, self.candidate)
        self._faithful: dict[tuple[int, frozenset[int], frozenset[str]], bool] = {}
        self._sizes: dict[int, float] = {}
        self.work = 0
        """Elements recomputed so far."""
        self.explained = False
        """Whether a difference that is written in the models leaves nothing of the error."""
        self.order_guessed = False
        """Whether the order of axes that it was fed in was read off lengths that have proven wrong before it."""

    @property
    def reordered(self) -> bool:
        """Whether its output was compared in another order of axes, or in none."""
        return self.misfit or self.measured.pair.axes is not None

    @property
    def where(self) -> str:
        """The node a user should open, in the candidate's words."""
        node = self.candidate.node
        return node.name if node else self.measured.pair.candidate

    def said(self, subgraph: Subgraph, node: Node) -> str:
        """What a sentence about that node begins with: its name, or that of its region where it is the reference's."""
        return node.name if subgraph is self.candidate else self.where

    @property
    def frameworks(self) -> tuple[str, str]:
        """The reference's, the candidate's."""
        return self.graphs[0].framework, self.graphs[1].framework

    @property
    def source(self) -> str | None:
        """The line of the model's own code, where the reference knows it."""
        node = self.reference.node
        return node.source if node else None

    @cached_property
    def kinds(self) -> tuple[Counter[str], Counter[str]]:
        """How often each kind of operation stands on either side, alone or inside a node that is made of such."""
        left, right = (
            Counter(kind for node in subgraph.nodes for kind in subgraph.kinds(node)) for subgraph in self.subgraphs
        )
        return left, right

    @cached_property
    def expected(self) -> Array | None:
        """The reference's output."""
        return self.evidence.expected if self.evidence else None

    @cached_property
    def found(self) -> Array | None:
        """The candidate's local output in the reference's order."""
        return self.evidence.found if self.evidence else None

    @cached_property
    def computed(self) -> Array | None:
        """What the candidate computed in the reference's order, in a shape of its own where the two do not fit."""
        raw = self.candidate.values.get(self.candidate.output)
        return self.found if self.found is not None or raw is None else self._turned(raw)

    @property
    def misfit(self) -> bool:
        """Whether both outputs are known and their shapes do not fit."""
        return self.expected is not None and self.found is None and self.computed is not None

    @cached_property
    def limit(self) -> float:
        """The largest finite magnitude of both outputs: what an element counts that is infinite on one side alone."""
        return max((peak(array) for array in (self.expected, self.computed) if array is not None), default=0.0)

    def apart(self, left: Array, right: Array) -> float:
        """Their distance, in this culprit's measure of what is not finite."""
        return distance(left, right, self.limit)

    @cached_property
    def gap(self) -> float:
        """‖candidate − reference‖, infinite on one side alone counted as the largest number; 0 where not measured.

        Where the shapes do not fit, a small share of ‖reference‖: only a prediction that comes close proves a thing.
        """
        if self.misfit and self.expected is not None:
            return MISFIT * self.apart(self.expected, 0 * self.expected)
        if self.expected is None or self.found is None:
            return 0.0
        return self.apart(self.found, self.expected)

    def size(self, side: int) -> float:
        """‖target‖ over what is finite in it."""
        if side not in self._sizes:
            target = self.target(side)
            finite = None if target is None else np.where(np.isfinite(target), target, target.dtype.type(0))
            self._sizes[side] = 0.0 if finite is None else self.apart(finite, 0 * finite)
        return self._sizes[side]

    @cached_property
    def largest(self) -> float:
        """The largest finite difference of what the two sides computed."""
        return 0.0 if self.expected is None or self.computed is None else largest(self.computed, self.expected)

    @cached_property
    def floor(self) -> float:
        """The share of the error that a replay which is right leaves, for it rounds otherwise than the runtime.

        In half precision the one rounding of what the runtime gives is more than all of a replay. What is off by
        anything up to s steps is off by s / √3 (root mean square).
        """
        if self.expected is None or self.evidence is None or not self.gap > 0:
            return 0.0
        step = max(self.measured.step or 0.0, *(subgraph.step for subgraph in self.subgraphs))
        coded = OWN_STEPS * step * math.sqrt(self.expected.size / 3)
        sizes = [self.apart(array, 0 * array) for array in (self.expected, self.found) if array is not None]
        return self._rounded + coded / min([self.gap, *(size for size in sizes if size > 0)])

    @cached_property
    def _rounded(self) -> float:
        """The share of the error that rounding floats leaves."""
        if self.expected is None or self.evidence is None or not self.gap > 0:
            return 0.0
        rounding = max(ROUNDING, unit(self.evidence.dtype), unit(self.evidence.found_dtype))
        return rounding * self.apart(self.expected, 0 * self.expected) / self.gap

    def _coded(self, subgraph: Subgraph) -> float:
        """The share of the error that rounding to the nearest code leaves at most: half a step of each number."""
        return subgraph.step * math.sqrt(self.elements) / 2 / self.gap

    def _turned(self, array: Array) -> Array:
        """The candidate's array in the reference's order of axes, whatever its sizes."""
        axes = self.measured.pair.axes
        channels = self.graphs[0].channels, self.graphs[1].channels
        if axes is None and channels[0] != channels[1] and array.ndim in (4, 5):
            order = list(range(array.ndim))
            axes = (0, *order[2:], 1) if channels[1] == "last" else (0, order[-1], *order[1:-1])
        return array if axes is None or len(axes) != array.ndim else array.transpose(_inverse(axes))

    def in_order(self, array: Array, side: int) -> Array | None:
        """An output of one side's region in the reference's axis order and shape; in its own where nothing fits.

        What the reference's region gives in the candidate's own shape is turned as the candidate's tensor is.
        """
        if self.expected is None:
            return None
        if self.misfit:
            return self._turned(array) if side == 1 else array
        raw = self.candidate.values.get(self.candidate.output)
        as_candidate = side == 1 or (
            array.shape != self.expected.shape and raw is not None and array.shape == raw.shape
        )
        return in_order(array, self.measured.pair.axes if as_candidate else None, self.expected.shape)

    def target(self, side: int) -> Array | None:
        """What a change of one side's region should reproduce: the other side's output."""
        return self.computed if side == 0 else self.expected

    def actual(self, side: int) -> Array | None:
        """What one side's region really computed."""
        return self.expected if side == 0 else self.computed

    def faithful(self, side: int, change: Change) -> bool:
        """Whether the replay of what the change reaches, unchanged, gives what that side really computed."""
        key = side, frozenset(change.operations), frozenset(change.arrays)
        if key not in self._faithful:
            subgraph, actual = self.subgraphs[side], self.actual(side)
            same: dict[str, Any] = {}
            for name in change.arrays:
                array = subgraph.array(name)
                if array is not None:
                    same[name] = array
            plain = Change(dict.fromkeys(change.operations, _unchanged), same)
            self._faithful[key] = False
            if actual is not None and self.gap > 0 and len(same) == len(change.arrays):
                try:
                    again = self.in_order(subgraph.replay(plain), side)
                except Unsupported:
                    again = None
                within = max(FAITHFUL, min(self._rounded + self._coded(subgraph), _ROUNDED))
                self._faithful[key] = again is not None and self.apart(again, actual) <= within * self.gap
        return self._faithful[key]

    @property
    def elements(self) -> int:
        """How many numbers an explanation has to account for."""
        return self.expected.size if self.expected is not None else 0

    def predict(self, side: int, change: Change) -> Array | None:
        """One side's output under a change, in the reference's order; None where the replay cannot be trusted."""
        self.work += self.elements * max(len(self.subgraphs[side].nodes), 1)
        if not self.faithful(side, change):
            return None
        return self._replayed(side, replace(change, endless=side == 1 and self._ends_follow))

    def _replayed(self, side: int, change: Change) -> Array | None:
        try:
            return self.in_order(self.subgraphs[side].replay(change), side)
        except Unsupported:
            return None

    @cached_property
    def _ends_follow(self) -> bool:
        """Whether the ends of the candidate's ranges may go with what is changed: measured on what it computes, they
        are as wrong as that. Where half of the error goes with the ends alone, they are a fault of their own.
        """
        if self.expected is None or self.endless is None or self.reference.step:
            return False
        return self.apart(self.endless, self.expected) > self.gap / 2

    @cached_property
    def endless(self) -> Array | None:
        """What the candidate's region computes with no end to any range, where it has ranges and can be replayed."""
        if not self.candidate.step:
            return None
        return self._replayed(1, Change(dict.fromkeys(self.candidate.region.nodes, _unchanged), endless=True))

    def prediction(self, subgraph: Subgraph, node: Node, edit: Callable[[Operation], Operation]) -> Counterfactual:
        """What one side's output becomes when one node computes something else; evaluated when it is asked for."""
        return Counterfactual(self, subgraph.side, change_node(node, edit))

    def replaced(self, subgraph: Subgraph, node: Node, other: Operation) -> Counterfactual:
        """Likewise for a whole operation in another's place."""
        return self.prediction(subgraph, node, lambda _: other)

    def swapped(self, subgraph: Subgraph, name: str, array: Array) -> Counterfactual:
        """Likewise when a value or weight of one side holds something else."""
        return Counterfactual(self, subgraph.side, Change(arrays={name: array}))

    def nodes(self, *kinds: str, constant: bool = False) -> Iterator[tuple[Subgraph, Node, Operation]]:
        """Nodes of these kinds that are understood: the reference's first; those of ``constant`` operands as well."""
        for subgraph in self.subgraphs:
            before = [node for node in subgraph.constant_nodes if node.kind in kinds] if constant else []
            for node in (*before, *subgraph.of_kind(*kinds)):
                operation = subgraph.operation(node)
                if operation is not None:
                    yield subgraph, node, operation

    def partner(self, subgraph: Subgraph, node: Node) -> tuple[Node, Operation] | None:
        """The other side's node of the same kind, when it is the only one at that place."""
        other = self.subgraphs[1 - subgraph.side]
        mine, theirs = subgraph.of_kind(node.kind), other.of_kind(node.kind)
        if len(mine) != len(theirs):
            return None
        partner = theirs[mine.index(node)]
        operation = other.operation(partner)
        return (partner, operation) if operation is not None else None

    def written_alike(self, subgraph: Subgraph, node: Node, operation: Operation) -> bool:
        """Whether the other side's node of that kind has the same settings and parameters."""
        partner = self.partner(subgraph, node)
        if partner is None or partner[1].settings != operation.settings:
            return False
        mine, theirs = operation.parameters, partner[1].parameters
        return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """One side of a region with something changed: called, its output; what was changed can be read off it."""

    culprit: Culprit
    side: int
    change: Change

    def __call__(self) -> Array | None:
        return self.culprit.predict(self.side, self.change)

    @property
    def node(self) -> str | None:
        """The candidate's node that is changed, where it is one."""
        changed = self.change.operations if self.side == 1 and not self.change.arrays else ()
        names = [node.name for node in self.culprit.candidate.nodes if node.index in changed]
        return names[0] if len(names) == len(changed) == 1 else None


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return sorted(range(len(axes)), key=axes.__getitem__)


def _unchanged(operation: Operation) -> Operation:
    return operation


def distance(left: Array, right: Array, limit: float | None = None) -> float:
    """Euclidean, float64; infinite where shapes differ.

    An element that is infinite or NaN on one side alone, or otherwise so, counts ``limit``: the largest finite
    magnitude of the two where none is given.
    """
    if left.shape != right.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        a, b = left.astype(np.float64), right.astype(np.float64)
        delta = a - b
        finite = np.isfinite(delta)
        if not finite.all():
            alike = (a == b) | (np.isnan(a) & np.isnan(b))
            far = max(peak(left), peak(right), 1.0) if limit is None else max(limit, 1.0)
            delta = np.where(finite, delta, np.where(alike, 0.0, far))
        return norm(delta)


def largest(left: Array, right: Array) -> float:
    """The largest absolute difference over what is finite on both sides."""
    with np.errstate(all="ignore"):
        delta = np.abs(left.astype(np.float64) - right.astype(np.float64))
        delta = delta[np.isfinite(delta)]
    return float(delta.max()) if delta.size else 0.0


def peak(array: Array) -> float:
    """The largest finite magnitude."""
    finite = array[np.isfinite(array)] if array.dtype.kind in "fc" else array
    return float(np.abs(finite).max(initial=0)) if array.dtype.kind in "fciu" else float(array.any())


in_order = to_reference
"""An array in the reference's order and shape, None if it does not fit."""
