"""How much error rounding explains at one region, its inputs held equal.

The bound follows the usual error analysis of sums: a region that adds up K products may be off by u·(8 + √K) of its
largest output, u being half a unit in the last place of the dtype it computes in; weights stored coarser than they
are used add 8 u of the stored dtype; nodes that only move data must be exact; quantised outputs may be off by a step
and a half. Where cancellation makes rounding larger than that, a measured noise (the change of the output when every
injected input moves by one rounding unit) replaces the guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aligner.judgement.precision import AS_A_RULE, declares_quantization, quantizes
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.numerics.rounding import SUBNORMAL, UNITS, unit
from aligner.operations.fused import fused_kind
from aligner.operations.kinds import AFFINE, BOUNDED, ELEMENTWISE, EXACT, LAYOUT, LINEAR, SILENT
from aligner.operations.reduction import reduction_length
from aligner.parameters.canonical import operation_kind
from aligner.parameters.known import Known
from aligner.parameters.remembered import Remembered
from aligner.records.alignment import Region
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference, Unmasked
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import Graph, Node, Weight
from aligner.records.measurement import Measured
from aligner.regions.subgraph import steps

_UNDERFLOW = 2.0**-126
"""What one operation may lose below float32's normal numbers where a kernel flushes them to zero: fl(a∘b) =
(a∘b)(1+δ)+η with |η| up to the smallest normal number (Higham, Accuracy and Stability, 2nd ed., 2.1 and 2.8)."""
QUANTIZED_UNIT = 1 / (2 * 127)
"""Half a step of eight bits, relative to the largest number: a little more than the unit of bfloat16, which has no
steps."""
_ITS_LIKE_ALONE = ELEMENTWISE | LAYOUT
"""Kinds of which each element comes from one element of each operand."""
_FEWER_THAN_EIGHT = frozenset({"int4", "uint4", "int2", "uint2"})
"""Dtypes whose codes are so far apart that what they leave is measured: it depends on the blocks that share a scale."""
_FLOATS = ("float16", "float32", "float64", "bfloat16")
_LONGEST_BIAS = 1 << 16
"""Numbers of a vector that are read to learn its largest: a limit of work, longer ones are tables."""
_OF_A_FUNCTION = 4
"""Roundings of a function: an argument reduced, a polynomial, a scaling, a quotient."""
_STEPS_OF_NOISE = 3.0
"""Quantised regions: how often the change that half a step at every input makes may be exceeded."""
_SMALLEST = 32 * UNITS["float32"]
"""Relative error of honest elementwise kernels: a few units for exp, erf and tanh approximations."""


@dataclass(frozen=True, slots=True)
class RegionNumbers:
    """What the bound needs of a region: reduction length, whether it only moves data, how its weights are stored.

    ``unit`` is that of the coarsest dtype among what the candidate's region reads and gives; ``step`` the largest
    quantisation step of what either region computes, 0 for floats; ``stepped``: it reads quantised tensors, or either
    region computes such (what half a step at its inputs does to its output is measured, not guessed); ``offset`` the
    largest bias that its sums are cancelled by.
    ``rounded`` tensors are judged by how many elements flip, not by how far. ``narrowed``: somewhere inside, the
    candidate alone goes through a coarser dtype, by accident: the noise that it makes itself of that excuses nothing.
    ``roundings``: how often a number is rounded on its way through the candidate's region, sums counted once.
    ``contracting`` regions (a softmax, a sigmoid) make no rounding of their inputs larger: what noise at the inputs
    does to them is not theirs, as the inputs are equal.
    """

    reduction: int
    exact: bool
    storage: float
    quantized: bool
    unit: float
    step: float
    stepped: bool
    offset: float
    rounded: bool
    narrowed: bool = False
    contracting: bool = False
    roundings: int = 0


def region_numbers(graphs: tuple[Graph, Graph], measured: Measured) -> RegionNumbers:
    """Read both sides' regions of a pair; once, as long as the graphs are there."""
    pair, known = measured.pair, _read.of(graphs[0], Remembered).of(graphs[1], dict)
    dtypes = measured.reference_dtype, measured.candidate_dtype
    key, regions = (pair.reference, pair.candidate, dtypes, measured.step), pair.regions
    found = known.get(key)
    if found is None or found[0] != regions:
        found = known[key] = regions, _region_numbers(graphs, measured)
    return found[1]


_read: Remembered[Remembered[dict[Any, tuple[tuple[Region, Region], RegionNumbers]]]] = Remembered()
"""By the names of a pair's tensors: the regions between them, with all their nodes, cost more to look up."""


def _region_numbers(graphs: tuple[Graph, Graph], measured: Measured) -> RegionNumbers:
    regions = measured.pair.reference_region, measured.pair.candidate_region
    nodes = [[graph.nodes[i] for i in region.nodes] for graph, region in zip(graphs, regions, strict=True)]
    reduction = max(
        (reduction_length(graph, node) for graph, side in zip(graphs, nodes, strict=True) for node in side), default=1
    )
    kinds = {node.kind for side in nodes for node in side} | {
        fused_kind(str(node.attributes["fused_activation"]))
        for side in nodes
        for node in side
        if node.attributes.get("fused_activation")
    }
    fed = [graphs[1].values[v] for v in regions[1].inputs if v in graphs[1].values]
    inner = [
        steps(graph.values[v] for node in side for v in node.outputs if v in graph.values)
        for graph, side in zip(graphs, nodes, strict=True)
    ]
    coarsest = max([unit(measured.reference_dtype), unit(measured.candidate_dtype), *(unit(v.dtype) for v in fed)])
    if coarsest > UNITS["float32"]:
        coarsest = min(coarsest, max(declared_unit(graph) for graph in graphs))
    same_dtype = coarsest == min(unit(measured.reference_dtype), unit(measured.candidate_dtype))
    inside = [
        max((unit(graph.values[v].dtype) for node in side for v in node.outputs if v in graph.values), default=0.0)
        for graph, side in zip(graphs, nodes, strict=True)
    ]
    narrowed = inside[1] > max(coarsest, inside[0]) and inside[1] > max(declared_unit(graph) for graph in graphs)
    excused = bool(inner[0]) and _by_intent((graphs[1], graphs[0]))
    step = max([*inner[1], *(inner[0] if excused else ()), measured.step or 0.0])
    storage = _storage(graphs, measured)
    scaled_as_it_runs = any(map(_scaled_as_it_runs, graphs, nodes))
    own = bool(inner[1] or measured.step or steps(fed)) or scaled_as_it_runs
    stepped = (own and _by_intent(graphs)) or excused
    return RegionNumbers(
        reduction=reduction,
        exact=same_dtype and kinds <= EXACT | {"none"} and not stepped and not storage,
        unit=coarsest,
        step=step,
        stepped=stepped,
        offset=_offset(graphs[1], measured, nodes[1]),
        rounded=not stepped and rounds_to_integers(graphs[1], measured.candidate_dtype, nodes[1]),
        storage=storage,
        narrowed=narrowed and not stepped,
        contracting=kinds <= BOUNDED | EXACT | {"none"} and not stepped,
        quantized=stepped or storage >= QUANTIZED_UNIT,
        roundings=sum(_roundings(node) for node in nodes[1]),
    )


def _scaled_as_it_runs(graph: Graph, nodes: Sequence[Node]) -> bool:
    """Whether a node quantises by a scale that is nowhere written: no operand, no attribute, none of its result."""
    return any(
        node.kind == "quantize"
        and len(node.inputs) == 1
        and not node.attributes
        and all(graph.values[name].quantization is None for name in node.outputs if name in graph.values)
        for node in nodes
    )


def _roundings(node: Node) -> int:
    if node.kind in EXACT | LAYOUT:
        return 0
    return 1 if node.kind in AFFINE | LINEAR else _OF_A_FUNCTION


def _by_intent(graphs: tuple[Graph, Graph]) -> bool:
    """Whether the second model's steps excuse anything: not those of a few tensors that it alone quantises."""
    return quantizes(graphs[0]) or declares_quantization(graphs[1])


def declared_unit(graph: Graph) -> float:
    """The coarsest float dtype a model computes in as a rule: a fifth of its tensors and more.

    A few float16 tensors in a float32 model are an accident that has to be told, not a precision that excuses.
    """
    return _declared.of(graph, lambda: _coarsest_as_a_rule(graph))


_declared: Remembered[float] = Remembered()


def _coarsest_as_a_rule(graph: Graph) -> float:
    units = [
        unit(graph.values[value].dtype)
        for node in graph.nodes
        if node.kind not in SILENT
        for value in node.outputs
        if value in graph.values and plain_dtype(graph.values[value].dtype or "float32") in _FLOATS
    ]
    return max((u for u in set(units) if units.count(u) >= AS_A_RULE * len(units)), default=UNITS["float32"])


def is_coarse(graph: Graph) -> bool:
    """Whether a model computes in less than float32 as a rule."""
    return declared_unit(graph) > UNITS["float32"]


def _storage(graphs: tuple[Graph, Graph], measured: Measured) -> float:
    """The coarsest unit of weights that one side stores coarser than the other; 0 where both store alike."""
    units = []
    for graph, region in zip(graphs, (measured.pair.reference_region, measured.pair.candidate_region), strict=True):
        stored = [name for name in region.weights if name in graph.weights and _holds_numbers(graph.weights[name])]
        kept = [_weight_unit(graph, name) for name in stored]
        units.append(max([*kept, QUANTIZED_UNIT if _reads_stored_constants(graph, region.nodes) else 0.0]))
    return max(units) if units[0] != units[1] and max(units) > UNITS["float32"] else 0.0


def _reads_stored_constants(graph: Graph, nodes: Iterable[int]) -> bool:
    """Whether a constant that the nodes read is made by way of few bits: a weight, transposed and then quantised."""
    read = {name for index in nodes for name in graph.nodes[index].inputs if name in graph.values}
    constants = [name for name in read if not graph.varies(name)]
    if not constants:
        return False
    return bool(steps(graph.values[name] for name in graph.ancestors(constants) if name in graph.values))


def _holds_numbers(weight: Weight) -> bool:
    """Whether a weight is one, and neither a zero point nor a bias in steps so fine that they are as good as exact."""
    if "int" not in weight.dtype:
        return True
    return len(weight.shape) > 1 or (weight.quantization is not None and "32" not in weight.dtype)


def _weight_unit(graph: Graph, name: str) -> float:
    weight = graph.weights[name]
    if weight.spacing is not None or weight.dtype in _FEWER_THAN_EIGHT:
        return max(QUANTIZED_UNIT, _units.of(weight, lambda: _measured_unit(graph, name)))
    few = weight.quantization is not None or weight.dtype.lower() in {"int8", "uint8"}
    return QUANTIZED_UNIT if few else unit(weight.dtype)


def _measured_unit(graph: Graph, name: str) -> float:
    """The unit of codes whose spacing is known: rounding to them leaves 1/√12 of it, each number by itself.

    Sums of products with numbers that are off by a share r (root mean square) are off by r of their own size. The
    largest of many is some four deviations, of errors as of sums, so that the largest error is some r of the largest
    sum; twice that is allowed, which the bound takes as eight units.
    """
    values, steps = (None if found is None else np.asarray(found, np.float64) for found in _spaced(graph, name))
    size = 0.0 if values is None else float(np.mean(np.square(values)))
    return 0.0 if steps is None or not size else math.sqrt(float(np.mean(np.square(steps))) / 12 / size) / 4


def _spaced(graph: Graph, name: str) -> tuple[Array | None, Array | None]:
    """The numbers that a weight's codes stand for, and steps: theirs, or those of blocks, which are of one size."""
    weight = graph.weights[name]
    if weight.spacing is not None:
        return weight.values(), weight.spacing()
    if weight.quantization is not None and weight.quantization.step:
        return weight.values(), np.asarray(weight.quantization.scale)
    for reader in graph.readers(name):
        scale = graph.weights.get(reader.inputs[1]) if len(reader.inputs) > 1 else None
        if reader.kind == "dequantize" and scale is not None:
            return Known(graph, lambda _: None).array(reader.outputs[0]), scale.values()
    return None, None


_units: Remembered[float] = Remembered()


def _offset(graph: Graph, measured: Measured, nodes: Sequence[Node]) -> float:
    """A bias far larger than the output means that a sum as large was cancelled, with the rounding of its own size."""
    if not any(node.kind in LINEAR for node in nodes):
        return 0.0
    vectors = [graph.weights[name] for name in measured.pair.candidate_region.weights if name in graph.weights]
    vectors = [weight for weight in vectors if len(weight.shape) == 1 and 0 < weight.shape[0] <= _LONGEST_BIAS]
    vectors = [weight for weight in vectors if weight.quantization is not None or plain_dtype(weight.dtype) in _FLOATS]
    return max((_magnitude(weight) for weight in vectors), default=0.0)


def _magnitude(weight: Weight) -> float:
    def largest() -> float:
        found = float(np.abs(np.asarray(weight.values(), dtype=np.float64)).max())
        return found if math.isfinite(found) else 0.0

    return _magnitudes.of(weight, largest)


_magnitudes: Remembered[float] = Remembered()


def bound(measured: Measured, numbers: RegionNumbers) -> float:
    """The largest absolute error that rounding explains in a local comparison."""
    difference = measured.local or measured.accumulated
    if difference is None:
        return 0.0
    if numbers.exact:
        return 0.0
    growth = 8 + math.sqrt(numbers.reduction)
    relative = max(numbers.unit * growth, _SMALLEST) + 8 * numbers.storage
    limit = relative * (difference.peak + numbers.offset) + (1 + numbers.reduction) * _UNDERFLOW
    if numbers.unit == UNITS["float16"]:
        limit += 2 * SUBNORMAL["float16"]
    if numbers.stepped:
        limit += OWN_STEPS * numbers.step + 8 * QUANTIZED_UNIT * difference.peak
    if (
        measured.noise is not None
        and not (numbers.rounded or numbers.narrowed or numbers.contracting)
        and (measured.noise.unexplained is None or measured.noise.unexplained <= limit)
    ):  # where noise moves by steps, each element that is off has to be one that noise moves
        factor = _STEPS_OF_NOISE if numbers.stepped else growth
        limit = max(
            limit, min(factor * measured.noise.max_abs, difference.peak)
        )  # all of a tensor is no rounding of it
    return limit


def beside_mask(graphs: tuple[Graph, Graph], measured: Measured, numbers: RegionNumbers) -> Measured:
    """The pair as its elements beside a mask show it, where each element of the output comes from its like alone.

    The number that a mask adds would excuse whatever is wrong with the scores it is added to.
    """
    local = measured.local
    if local is None or local.unmasked is None or local.mismatched or numbers.quantized:
        return measured
    nodes = [graphs[1].nodes[index] for index in measured.pair.candidate_region.nodes]
    if not all(node.kind in _ITS_LIKE_ALONE for node in nodes) or local.errors.max_abs > bound(measured, numbers):
        return measured
    return _beside(measured, local, local.unmasked)


def _beside(measured: Measured, local: Difference, unmasked: Unmasked) -> Measured:
    noise = measured.noise
    if noise is not None and noise.unmasked is not None:
        noise = replace(noise, max_abs=noise.unmasked)
    errors = replace(local.errors, max_abs=unmasked.max_abs)
    seen = replace(local, errors=errors, peak=unmasked.peak, mismatched=unmasked.mismatched)
    return replace(measured, local=seen, noise=noise)


def masked_otherwise(graphs: tuple[Graph, Graph], measured: Measured) -> bool:
    """Whether nothing differs but the number that stands for "masked" at the same elements of both sides."""
    local = measured.local
    if local is None or local.unmasked is None or local.unmasked.mismatched:
        return False
    seen = _beside(measured, local, local.unmasked)
    return local.unmasked.max_abs <= bound(seen, region_numbers(graphs, seen))


def rounds_to_integers(graph: Graph, dtype: str | None, nodes: Sequence[Node]) -> bool:
    """Whether a tensor holds rounded numbers, where one step either way is a flip and not an error."""
    return plain_dtype(dtype or "").startswith(("int", "uint")) or any(
        node.kind == "unary" and operation_kind(graph, node) == "round" for node in nodes[-1:]
    )
