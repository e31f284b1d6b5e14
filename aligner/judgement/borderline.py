"""Errors near their bound: rounding or a small fault? Weights and settings, which compare exactly, decide."""

from __future__ import annotations

import numpy as np

from aligner.judgement.tolerance import region_numbers
from aligner.numerics.rounding import SUBNORMAL, UNITS
from aligner.numerics.written_type import written_from
from aligner.operations.kinds import BINARY, LAYERS, PARAMETRIC, SILENT, SUNDRY
from aligner.operations.lowering import lowers
from aligner.operations.operation import Unsupported
from aligner.parameters.folding import output_axis
from aligner.records.array import Array
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.folding import Layer
from aligner.regions.layer_numbers import MATRICES, differing, spacing, step_of
from aligner.regions.layers import LayerPair, layer_pairs, layers
from aligner.regions.settings import UNCOMPARED, alike, in_pieces
from aligner.regions.subgraph import Subgraph

LEAST, MOST = 0.5, 4.0
"""Scores (error over bound) between which an error may be either; honest nodes were never seen above 0.4."""
_ARITHMETIC = BINARY | SUNDRY | {"reduce"}
_OFF_BY_STEPS = 1.0
"""Root mean square, in steps: rounding to the nearest one leaves 0.29, rounding learnt from data 0.6."""
_ANY_ROUNDING = 1.0 + 1e-6
"""Square of an error in units in the last place that rounding a number leaves whichever way it goes …"""
_FEW = 0.01
"""… but for a share of them, as are rounded twice, or are products that were rounded before. A tensor of one number all
over, or cut off towards 0, may be larger or smaller as a whole by rounding, each of its numbers by less than a unit."""
_STANDS_OUT = 4.0
"""How much more than the middle one an output has to be off. Of 3,200 weights rounded by error feedback none had one
off by a step and 3.8 times the middle one; times 1.5 it is 46 times in eight bits (``benchmarks.properties.rows``)."""
_NEARLY_ALL = 0.98
"""Weights beyond this share of the largest one may have been cut off on purpose."""
_EXPONENT = np.uint32(0x7F800000)
"""The bits of a float32 that hold its exponent: alone they are the power of two at or below it."""
_LESS_THAN_ONE = 1 - 2.0**-20
_TELLING = 1 << 18
"""Numbers of a matrix of floats that are looked at: a factor shows in them as in all, to a rounding by 1/√ of them."""


def difference_in(graphs: tuple[Graph, Graph], item: Measured) -> str | None:
    """What weights or settings the two regions differ in, in words; "" where nothing, None where they cannot tell.

    Only regions of the same operations in the same order can: a decomposed one has other settings and no fault.
    """
    culprit = Culprit(graphs, item, None)
    sides = [[node for node in subgraph.nodes if node.kind not in SILENT] for subgraph in culprit.subgraphs]
    if not sides[0] or [node.kind for node in sides[0]] != [node.kind for node in sides[1]]:
        return None
    try:
        told = [_settings(culprit, *nodes) for nodes in zip(*sides, strict=True)]
        found = [words for words in told if words] or differing_weights(culprit)
    except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
        return None
    if found:
        return "; ".join(found)
    return None if found is None or None in told else ""


def misquantized(graphs: tuple[Graph, Graph], item: Measured) -> str:
    """What weights stored in few bits lie further from the reference's than their steps explain, in words.

    Few bits excuse an error of a percent and more in what a layer computes, enough to hide another channel's scale, and
    half precision that of several roundings which might all go one way. Only where one linear layer stands alone on
    each side, with nothing beside it that a converter may have folded in.
    """
    culprit, numbers = Culprit(graphs, item, None), region_numbers(graphs, item)
    unit = 0.0 if numbers.quantized else numbers.storage
    if not any(subgraph.quantized(node) for subgraph in culprit.subgraphs for node in subgraph.nodes) and not unit:
        return ""
    try:
        pairs = layer_pairs(culprit)
        sides = [(culprit.reference, pair.reference) for pair in pairs] + [
            (culprit.candidate, pair.candidate) for pair in pairs
        ]
        if len(pairs) != 1 or not all(_alone(subgraph, layer) for subgraph, layer in sides):
            return ""
        return _off_its_grid(culprit, pairs[0], unit)
    except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
        return ""


def _alone(subgraph: Subgraph, layer: Layer) -> bool:
    """Whether nothing else in the region holds numbers that a converter may have worked into the layer's weights."""
    known = {layer.node.index, *layer.taken}
    others = [node for node in subgraph.nodes if node.index not in known]
    if any(node.kind in PARAMETRIC | {"other"} or _made_of_others(subgraph, node) for node in others):
        return False
    arithmetic = [node for node in others if node.kind in _ARITHMETIC]
    return not any(
        isinstance(node.attributes.get("other"), (int, float))
        or any(subgraph.settled(name) is not None for name in node.inputs)
        for node in arithmetic
    )


def _made_of_others(subgraph: Subgraph, node: Node) -> bool:
    """Whether a node is arithmetic under one name, whose numbers can move: a hard sigmoid's sixth."""
    operation = subgraph.operation(node)
    return operation is not None and lowers(operation.with_settings(range=None, fused_activation="none"))


def _off_its_grid(culprit: Culprit, pair: LayerPair, unit: float) -> str:
    """``unit``: of the narrower side's weights where these are floats, 0 where they are codes."""
    roles = [role for role in pair.roles if role in MATRICES]
    if not roles:
        return ""
    arrays = [layer.parameters[roles[0]] for layer in (pair.reference, pair.candidate)]
    if arrays[0].shape != arrays[1].shape:
        return ""
    axis = output_axis(pair.candidate.operation, arrays[1])
    left, right = (_some(array, axis) if unit else array for array in arrays)
    if unit and _one_rounding_apart(left, right, unit):
        return ""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    step = _spacing(left, right, unit) if unit else step_of(culprit, pair)
    if step is None:
        return ""
    steps = np.broadcast_to(step, right.shape)
    slices = tuple(axis for axis in range(right.ndim) if step.shape[axis] == 1) or None  # none: each has its own step
    peaks = np.abs(right).max(axis=slices, keepdims=True)
    inside = (np.abs(right) < _NEARLY_ALL * peaks) & (steps > 0)
    if not inside.any():
        return ""
    apart = np.divide(right - left, steps, out=np.zeros_like(right), where=inside)
    squares = apart**2
    off = float(np.sqrt(squares.sum() / inside.sum()))
    if off <= _OFF_BY_STEPS:
        off = _worst_row(squares, inside, axis)
    words = f"the weights of {pair.candidate.node.name} are"
    if off > _OFF_BY_STEPS:
        steps_of = "units in the last place" if unit else "quantisation steps"
        return f"{words} off by {off:.1f} {steps_of}, and not by half a one"
    if not unit or (squares > _ANY_ROUNDING).mean() < _FEW:
        return ""
    own = np.divide(left, steps, out=np.zeros_like(left), where=inside)
    gain = float((own * apart).sum() / (own**2).sum())
    return f"{words} {1 + gain:.5g} times the reference's, which is no rounding" if abs(gain) > unit else ""


def _some(array: Array, axis: int | None) -> Array:
    """Some of a large matrix's numbers, of every output."""
    others = [place for place in range(array.ndim) if place != axis]
    if array.size <= _TELLING or not others:
        return array
    longest = max(others, key=lambda place: array.shape[place])
    return array[(slice(None),) * longest + (slice(None, None, -(-array.size // _TELLING)),)]


def _one_rounding_apart(left: Array, right: Array, unit: float) -> bool:
    """Whether no number is off by as much as a unit in the last place, whichever way it was rounded: the answer of most
    weights, found without frexp and in float32, where numbers within twice of each other subtract exactly."""
    if not left.dtype == right.dtype == np.float32:
        return False
    powers = np.maximum(np.abs(left), np.abs(right))
    powers.view(np.uint32)[...] &= _EXPONENT  # below the normal numbers 0: only what is equal is near enough
    smallest = SUBNORMAL["float16"] if unit == UNITS["float16"] else 0.0
    with np.errstate(invalid="ignore"):
        near = np.abs(right - left) <= _LESS_THAN_ONE * np.maximum(2 * unit * powers, smallest)
        return bool(near.all() and powers.max(initial=0) < np.inf)


def _spacing(left: Array, right: Array, unit: float) -> Array:
    """How far apart the numbers are that either may be rounded to: those of bfloat16, where it has been in that.

    Next to 0 lies the least normal number where what is below was made 0 (pnnx does so, processors may).
    """
    written = [written_from(array.astype(np.float32)) for array in (left, right)]
    coarsest = max([unit, *(UNITS[name] for name in written if name)])
    sizes = np.maximum(np.abs(left), np.abs(right))
    lost = ((left == 0) | (right == 0)) & (sizes < float(np.finfo(np.float16).smallest_normal))
    return np.where(lost & (unit == UNITS["float16"]), 2 * sizes, spacing(sizes, coarsest))


def _worst_row(squares: Array, inside: Array, axis: int | None) -> float:
    """Root mean square of the output that is off most, where it stands out of the others; else 0."""
    if axis is None:
        return 0.0
    others = tuple(place for place in range(squares.ndim) if place != axis)
    counts = inside.sum(axis=others)
    rows = np.sqrt(squares.sum(axis=others)[counts > 0] / counts[counts > 0])
    return float(rows.max()) if rows.max() > _STANDS_OUT * np.median(rows) else 0.0


def _settings(culprit: Culprit, node: Node, other: Node) -> str | None:
    mine, theirs = culprit.reference.operation(node), culprit.candidate.operation(other)
    if mine is None or theirs is None or mine.kind != theirs.kind or in_pieces(mine, theirs):
        return None
    wrong = [
        name
        for name, value in mine.settings.items()
        if name in theirs.settings and name not in UNCOMPARED and not alike(value, theirs.settings[name])
    ]
    return f"{', '.join(wrong)} of {other.name}" if wrong else ""


def differing_weights(culprit: Culprit) -> list[str] | None:
    """What the layers of both sides differ in, in words.

    None where weights are there that do not pair, or that a kernel keeps in blocks of its own.
    """
    if any(node.attributes.get("blocked") for subgraph in culprit.subgraphs for node in subgraph.nodes):
        return None
    if not any(subgraph.of_kind(*LAYERS) for subgraph in culprit.subgraphs):
        return None if any(subgraph.weights for subgraph in culprit.subgraphs) else []
    counts = [len(layers(subgraph)) for subgraph in culprit.subgraphs]
    pairs = layer_pairs(culprit)
    if counts[0] != counts[1] or len(pairs) != counts[0]:
        return None
    if not pairs and any(subgraph.weights for subgraph in culprit.subgraphs):
        return None
    return [words for pair in pairs if (words := _differing(pair))]


def _differing(pair: LayerPair) -> str:
    roles = differing(pair)
    return f"{', '.join(roles)} of {pair.candidate.node.name}" if roles else ""
