"""How much larger a tensor is as a whole: single roundings go either way, and most of them cancel in that."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aligner.judgement.tolerance import QUANTIZED_UNIT, RegionNumbers
from aligner.numerics.rounding import SUBNORMAL, UNITS
from aligner.operations.kinds import SCALES
from aligner.parameters.remembered import Remembered
from aligner.records.difference import Difference
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured, Noise
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph

_FED_AND_STORED = 2
"""Roundings that a region starts with: of what it is fed with, and of the numbers that are stored in it."""
_AS_WRITTEN = 2.0
"""How often more or less a written factor may show than it is: a branch is a part of a sum, and what bends enlarges."""


def gain_bound(numbers: RegionNumbers, noise: Noise | None, local: Difference) -> float:
    """The largest share by which rounding makes a tensor larger or smaller as a whole; infinite where none is known.

    A rounding changes a number by a unit at most where it goes to the nearest, by a unit on average where it cuts off,
    and so does the gain ⟨c − r, r⟩ / ⟨r, r⟩ change, an average of them; a sum of K terms in as few bits may lose √K.
    The largest error of all elements may be a multiple of that, and tells a factor the less the larger a tensor is.
    In float32 a factor that this could tell is none that matters.
    """
    unit = unit_of(numbers)
    if not unit or not local.scale:
        return math.inf
    terms = math.sqrt(numbers.reduction) if numbers.reduction > 1 else 0.0
    limit = unit * (_FED_AND_STORED + numbers.roundings + terms) + _smallest(numbers, local)
    return max(limit, noise.max_abs / local.scale if noise is not None else 0.0)


def as_written(
    graphs: tuple[Graph, Graph], items: Iterable[Measured], numbers: RegionNumbers, local: Difference
) -> bool:
    """Whether a gain is what factors come to that stand in one side's regions alone, and more than one rounding.

    Steps of eight bits are roundings as well, of which nothing larger is known than that one; there the
    factor has to be twice as far from one.
    """
    unit = QUANTIZED_UNIT if numbers.quantized and not numbers.rounded else unit_of(numbers)
    if not unit or not local.scale or abs(local.gain) <= unit + _smallest(numbers, local):
        return False
    alone = math.prod(_factor(graphs, item) for item in items) - 1
    least = 2 * unit if numbers.quantized else unit
    return abs(alone) > least and 1 / _AS_WRITTEN <= local.gain / alone <= _AS_WRITTEN


def _smallest(numbers: RegionNumbers, local: Difference) -> float:
    """What float16 loses below its normal numbers, as a share of the tensor."""
    return 2 * SUBNORMAL["float16"] / local.scale if numbers.unit == UNITS["float16"] else 0.0


def unit_of(numbers: RegionNumbers) -> float:
    """Of what is computed or stored in less than float32; 0 where steps are judged, or nothing is."""
    unit = max(numbers.unit, numbers.storage)
    return 0.0 if unit <= UNITS["float32"] or numbers.quantized or numbers.rounded else unit


def _factor(graphs: tuple[Graph, Graph], item: Measured) -> float:
    """What the numbers come to that the candidate's region multiplies by, over those of the reference's."""
    known = _known.of(graphs[0], Remembered).of(graphs[1], dict)
    if item.pair not in known:
        sides = [math.prod(_factors(subgraph)) for subgraph in Culprit(graphs, item).subgraphs]
        known[item.pair] = sides[1] / sides[0] if all(sides) and all(map(math.isfinite, sides)) else 1.0
    return known[item.pair]


_known: Remembered[Remembered[dict[object, float]]] = Remembered()


def _factors(subgraph: Subgraph) -> list[float]:
    return [found[1] for node in subgraph.of_kind(*SCALES) if (found := factor_at(subgraph, node)) is not None]


def factor_at(subgraph: Subgraph, node: Node) -> tuple[int, float] | None:
    """The one number that a node multiplies a tensor by, and its place among the operands."""
    varying = [place for place, name in enumerate(node.inputs) if name and subgraph.varies(name)]
    operation = subgraph.operation(node)
    if operation is None or len(varying) != 1 or len(operation.data) != 2 or operation.data[1 - varying[0]].size != 1:
        return None
    place = 1 - varying[0]
    number = float(operation.data[place].reshape(()))
    if operation.kind == "mul":
        return place, number
    return (place, 1 / number) if operation.kind == "div" and place == 1 and number else None
