"""What is known of one pair when it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from aligner.judgement.borderline import difference_in, misquantized
from aligner.judgement.gain import as_written, gain_bound
from aligner.judgement.precision import has_coded_body
from aligner.judgement.same_grid import STEPS, another_grid, are_twins
from aligner.judgement.tolerance import RegionNumbers, beside_mask, bound, region_numbers, rounds_to_integers
from aligner.numerics.rounding import HALF_MAX
from aligner.operations.kinds import MAY_DRAW, QUANTIZES, VIEWS
from aligner.parameters.remembered import Remembered
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.inner_tensors import CODES, SATURATED, is_given, range_made_in, range_of

_TAIL = 0.5
"""Share of elements cut off up to which they are a tail, as calibrations leave out:
none chose a range for numbers whose median lies outside."""
_FLIPPED = 0.01
"""Share of rounded elements that may flip by one step, beside four times the share that noise flips, where it is not
known which elements noise flips: what is computed from whole numbers alone cannot be moved by rounding units."""
QUANTIZED_RELATIVE = 0.08
"""Relative root-mean-square error that eight-bit weights and activations explain at one node …"""
_QUANTIZED_PEAKS = 3.0
"""… provided that no single element exceeds the bound more than this often."""
_ENDS = {name: (float(np.iinfo(name).min), float(np.iinfo(name).max)) for name in ("int8", "uint8", "int16", "uint16")}
_ENDS["float16"] = -HALF_MAX, HALF_MAX
"""The smallest and the largest number of dtypes that are narrower than float32 and int32."""
_FEWEST = 4
"""Codes below which a range is one of other numbers. Of 260 networks no further sample that costs too much, in the
range of 24 of its kind, has less; divided by 127 or 255 twice it has 2 or 1 (``benchmarks.properties.ranges``)."""
_DRAWING: Remembered[bool] = Remembered()


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's tolerance and whether it is asked for as it stands at every node (``--tolerance``).

    ``unsteady`` holds (side, node index) of what was seen to give other numbers from run to run; ``relaid``: what is
    handed over has another order of axes on either side by agreement, so that outputs may have too; ``outputs_agree``:
    every output of the reference has an answer within the user's tolerance.
    """

    atol: float
    rtol: float
    fixed: float | None = None
    unsteady: frozenset[tuple[int, int]] = frozenset()
    relaid: bool = False
    outputs_agree: bool = False


class PairFacts:
    """A pair, what feeds it, and what rounding explains of it; what costs more is worked out when a rule asks."""

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        measured: Measured,
        by_value: Mapping[str, Measured],
        rules: Rules,
        *,
        nearness: str | None = None,
        turned: tuple[int, ...] | None = None,
    ) -> None:
        """``nearness``: that float64 excuses the pair, in words; ``turned``: the order of an output's axes that nothing
        downstream can put right."""
        self.graphs, self.rules, self.nearness, self.turned = graphs, rules, nearness, turned
        self.numbers: RegionNumbers = region_numbers(graphs, measured)
        self.fixed = rules.fixed is not None
        self.item = measured if self.fixed else beside_mask(graphs, measured, self.numbers)
        self.difference = self.item.local if self.item.local is not None else self.item.accumulated
        """The local difference; the accumulated one where there is none."""
        local = self.item.local
        self.local = local if local is not None and not local.mismatched else None
        """The local difference, unless finiteness itself differs."""
        self._by_value = by_value
        self.before = [by_value[v] for v in measured.pair.candidate_region.inputs if v in by_value]
        self.twins, self.limit = False, rules.fixed if rules.fixed is not None else bound(self.item, self.numbers)
        if not self.fixed:
            self._as_twins()

    def _as_twins(self) -> None:
        """Two kernels that compute on the same grids may differ by less."""
        if self.item.local is None or not self.numbers.stepped:
            return
        plain = replace(self.numbers, stepped=False, quantized=False, step=0.0)
        limit = STEPS * self.numbers.step + bound(replace(self.item, noise=None), plain)
        if self.item.local.errors.max_abs > limit and are_twins(self.graphs, self.item):
            self.twins, self.limit = True, min(self.limit, limit)

    @property
    def margin(self) -> float | None:
        """The error over its limit; None without a limit."""
        difference = self.difference
        return difference.errors.max_abs / self.limit if difference is not None and self.limit > 0 else None

    @cached_property
    def nodes(self) -> tuple[list[Node], list[Node]]:
        """The nodes of both regions."""
        regions = self.item.pair.regions
        left, right = (
            [graph.nodes[i] for i in region.nodes] for graph, region in zip(self.graphs, regions, strict=True)
        )
        return left, right

    @property
    def unsteady(self) -> bool:
        """Whether a node of either region gives other numbers from run to run."""
        regions = self.item.pair.regions
        return any((side, at) in self.rules.unsteady for side in (0, 1) for at in regions[side].nodes)

    def is_unsteady(self, side: int, node: Node) -> bool:
        """Whether a node was seen to give other numbers from run to run."""
        return (side, node.index) in self.rules.unsteady

    @property
    def drawn(self) -> Node | None:
        """The first node of the candidate's region that draws random numbers, or was seen to give others each run."""
        return next((node for node in self.nodes[1] if node.kind == "random" or self.is_unsteady(1, node)), None)

    @property
    def reference_varies(self) -> bool:
        """Whether anything of the reference is random, or was seen to change from run to run."""
        unsteady = any(side == 0 for side, _ in self.rules.unsteady)
        return unsteady or _anything_draws(self.graphs[0])

    @cached_property
    def gain(self) -> float:
        """By what share the candidate is larger as a whole, over what rounding explains of that."""
        if self.local is None or self.fixed or self.immaterial:
            return 0.0
        return abs(self.local.gain) / gain_bound(self.numbers, self.item.noise, self.local)

    @property
    def gain_is_written(self) -> bool:
        """Whether a factor that one side alone holds makes the candidate as much larger."""
        if self.local is None or self.fixed or self.immaterial:
            return False
        return as_written(self.graphs, [self.item], self.numbers, self.local)

    @property
    def within(self) -> bool:
        """Whether the local error is within the bound, or too small to matter, or what few bits explain."""
        return self.in_bound or self.immaterial or self.in_few_bits

    @property
    def in_bound(self) -> bool:
        """Whether the local error is within the bound."""
        return self.local is not None and self.local.errors.max_abs <= self.limit

    @property
    def immaterial(self) -> bool:
        """Whether the local error is below the contract for outputs, taken at the tensor's own size."""
        if self.local is None or self.fixed:
            return False
        return self.local.errors.max_abs <= (self.rules.atol + self.rules.rtol) * min(1.0, self.local.peak or 1.0)

    @property
    def in_few_bits(self) -> bool:
        """Whether a quantised region is off by no more than eight bits explain."""
        if self.local is None or self.fixed or not self.numbers.quantized or self.twins:
            return False
        return self.local.relative <= QUANTIZED_RELATIVE and self.local.errors.max_abs <= _QUANTIZED_PEAKS * self.limit

    @property
    def too_wide(self) -> tuple[float, float] | None:
        """The step of a side's range, and the step that its numbers need, where they are left next to no codes.

        Numbers with tails cost as much with a range of their own: for those any range is as good. The number of a mask
        is no tail: what stands beside it is looked at by itself.
        """
        if self.fixed or self.local is None or not self.item.step:
            return None
        pair, beside = self.item.pair, self.local.unmasked
        exact = self.item.candidate_statistics, self.item.reference_statistics
        for side, (graph, region, value, own) in enumerate(
            zip(self.graphs, pair.regions, pair.values, exact, strict=True)
        ):
            held = range_made_in(graph, region, value)
            if held is None or held.codes != CODES or is_given(graph, value, held):
                continue
            if side and beside is None and self._is_lost_in_readers():
                continue
            looks = [((own.max or 0.0) - (own.min or 0.0), self.local.relative)]
            if beside is not None and beside.peak and not beside.mismatched:
                looks.append((2 * beside.peak, beside.max_abs / beside.peak))
            for wide, off in looks:
                fits = off * (wide / CODES) / held.step
                if wide < _FEWEST * held.step and off > QUANTIZED_RELATIVE >= fits:
                    return held.step, wide / CODES
        return None

    def _is_lost_in_readers(self) -> bool:
        """Whether everything that reads the tensor is right on the reference's numbers, which come to it as the range
        holds them: a converter gives a small tensor the step of the sum that it goes into."""
        value, graph = self.item.pair.candidate, self.graphs[1]
        if range_of(graph, value) is None:
            return False
        waiting, found = [value], False
        while waiting:
            value = waiting.pop()
            if value in graph.outputs:
                return False
            for reader in (one for one in self._by_value.values() if value in one.pair.candidate_region.inputs):
                if {graph.nodes[at].kind for at in reader.pair.candidate_region.nodes} <= VIEWS:
                    waiting.append(reader.pair.candidate)
                    continue
                found = True
                if reader.local is None or reader.local.mismatched or reader.local.relative > QUANTIZED_RELATIVE:
                    return False
        return found

    @cached_property
    def another_grid(self) -> str | None:
        """That both sides are coded alike but for their scales, in words."""
        return None if self.fixed or not self.numbers.quantized else another_grid(self.graphs, self.item)

    @property
    def coded_body(self) -> bool:
        """Whether a loop or a branch of the candidate alone has matrices in few bits inside."""
        return [has_coded_body(*side) for side in zip(self.graphs, self.nodes, strict=True)] == [False, True]

    @property
    def flips(self) -> bool:
        """Whether rounded values flip by one step, few enough of them."""
        if self.local is None or not rounds_to_integers(self.graphs[1], self.item.candidate_dtype, self.nodes[1]):
            return False
        noise = self.item.noise
        one_step = self.local.errors.max_abs <= 1.001 * (self.item.step or 1.0)
        if noise is not None and noise.unexplained is not None:
            return one_step and noise.unexplained <= self.limit
        allowed = max(_FLIPPED, 4 * noise.share if noise else 0.0)
        return one_step and self.local.unequal <= allowed * self.local.size

    @property
    def fed_cut(self) -> bool:
        """Whether what feeds the region was cut off by a quantised range."""
        return any(item.saturated > SATURATED for item in self.before)

    @property
    def clips(self) -> bool:
        """Whether the quantised range cuts off what is no mere tail, or what nobody could ask the outputs about."""
        item = self.item
        return item.saturated > SATURATED and (item.clipping_shows is not False or item.saturated > _TAIL)

    @property
    def cut_before(self) -> bool:
        """Whether it was, and nobody could ask what that does."""
        asked = self.item.fed_alike or all(item.clipping_shows is not None for item in self.before)
        return self.fed_cut and not asked

    @property
    def fed_too_large(self) -> str | None:
        """The dtype of the candidate's in which a tensor of the reference overflows that the region is fed with."""
        return next((str(item.candidate_dtype) for item in self.before if _overflows(item)), None)

    @property
    def plain(self) -> bool:
        """Whether floats are judged, by their own bounds."""
        return not (self.fixed or self.numbers.quantized or self.numbers.rounded)

    @cached_property
    def differing(self) -> str | None:
        """Weights and settings that differ, in words; "" where none do, None where that cannot be told."""
        return difference_in(self.graphs, self.item)

    @cached_property
    def misquantized(self) -> str:
        """Weights that lie off their own grid, in words; "" where the two regions start from other tensors: a factor
        between those may be in the weights."""
        regions = self.item.pair.regions
        roots = {_before_views(self.graphs[0], value) for value in regions[0].inputs}
        fed = {_before_views(self.graphs[0], item.pair.reference) for item in self.before}
        return misquantized(self.graphs, self.item) if fed <= roots else ""

    @property
    def fresh(self) -> bool:
        """Whether everything that feeds the region could be compared."""
        return all(item.accumulated is not None or item.local is not None for item in self.before)


def _before_views(graph: Graph, value: str) -> str:
    """The tensor that a value is, before it was moved, renamed or coded."""
    while (node := graph.producer(value)) is not None and node.kind in VIEWS | QUANTIZES and node.inputs:
        value = node.inputs[0]
    return value


def _anything_draws(graph: Graph) -> bool:
    return _DRAWING.of(graph, lambda: any(node.kind in MAY_DRAW and _draws(node) for node in graph.nodes))


def _draws(node: Node) -> bool:
    """Whether a node that may draw random numbers does: dropout in training, a random operation always."""
    return node.kind == "random" or bool(node.attributes.get("training"))


def _overflows(fed: Measured) -> bool:
    """Quantised tensors hold what their range cuts off; that is told apart."""
    ends, numbers = _ENDS.get(plain_dtype(fed.candidate_dtype or "")), fed.reference_statistics
    if ends is None or fed.step is not None:
        return False
    return (numbers.min or 0.0) < ends[0] or (numbers.max or 0.0) > ends[1]
