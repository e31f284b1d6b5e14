"""Parameters that few bits and half precision leave as good as exact: biases, a normalisation's factors and summands.

What rounding the matrices leaves is enough to hide a bias that was lost or another's, or, in half precision, a factor
near one that scales one branch of a sum. It is written in the models that the two differ; whether that is meant (a bias
may take back what the rounded weights add on average, or stand elsewhere) is told by the numbers: a region computed
again with the other side's parameter changes by what its error holds all of, or by what nothing of is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from aligner.judgement.gain import factor_at, unit_of
from aligner.judgement.regression import SURE, regression
from aligner.judgement.tolerance import region_numbers
from aligner.operations.kinds import LAYERS, SCALES, SHIFTS
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import COARSE_BIAS, MATRICES
from aligner.regions.layers import Layer, LayerPair, layer_pairs, layers
from aligner.regions.subgraph import Subgraph, change_node

_ALIKE = 2.0
"""How often more or less of a change than all of it the error may hold: halfway between nothing and all, and what
bends behind it enlarges."""
_NEAR_ONE = 0.5
"""Factors further from one are parts of a formula, or show whatever is rounded."""
_ADDED = frozenset({"bias", "shift", "b", "rb"})
"""Roles that a layer without one has zeros for."""
_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError)
_Edit = Callable[[Operation], Operation]


@dataclass(frozen=True, slots=True, eq=False)
class Differing:
    """A parameter of one side that the other has otherwise: its node, and how to compute with the other's.

    ``place`` is (the candidate's node, what is wrong with it, the reference's node), ``words`` say it.
    """

    side: int
    node: Node
    edit: _Edit
    place: tuple[str, str, str | None]
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class _Summand:
    """Numbers that a node adds, [channels] or one; ``given`` makes it add others."""

    node: Node
    numbers: Array
    given: Callable[[Array], _Edit]


def may_differ(graphs: tuple[Graph, Graph], item: Measured) -> bool:
    """Whether a pair is off by something in few bits or half precision, and it holds other parameters than layers'
    matrices."""
    if item.local is None or item.local.mismatched or not item.local.errors.beyond:
        return False
    numbers = region_numbers(graphs, item)
    if not numbers.quantized and not unit_of(numbers):
        return False
    culprit = Culprit(graphs, item)
    return any(_differing(culprit)) or any(map(_waits_for_numbers, culprit.subgraphs))


def _waits_for_numbers(subgraph: Subgraph) -> bool:
    """Whether a layer can be read only beside the tensors of a run: one whose size an operand says."""
    return any(subgraph.operation(node) is None for node in subgraph.of_kind(*LAYERS))


def shown_difference(culprit: Culprit, *, excused: bool) -> Differing | None:
    """The parameter of which the error holds all that the other side's in its place would change.

    ``excused``: the region's form is another, as others undo it, and so are its layers' parameters.
    """
    expected, found = culprit.expected, culprit.found
    if expected is None or found is None:
        return None
    error = found.astype(np.float64) - expected
    for one in _factors(culprit) if excused else _differing(culprit):
        ends = [_end(culprit, one, edit) for edit in (_unchanged, one.edit)]
        if ends[0] is None or ends[1] is None or not ends[0].shape == ends[1].shape == error.shape:
            continue
        change = ends[1].astype(np.float64) - ends[0]
        told = regression(-change if one.side else change, error)
        if told is not None and 1 / _ALIKE <= told[0] <= _ALIKE and told[0] > SURE * told[1]:
            return one
    return None


def _end(culprit: Culprit, one: Differing, edit: _Edit) -> Array | None:
    try:
        return culprit.in_order(culprit.subgraphs[one.side].replay(change_node(one.node, edit)), one.side)
    except _MISFITS:
        return None


def _unchanged(operation: Operation) -> Operation:
    return operation


def _differing(culprit: Culprit) -> Iterator[Differing]:
    """Either side may be the one that can be computed again, the reference first."""
    yield from _factors(culprit)
    try:
        pairs = layer_pairs(culprit)
        for side in (0, 1):
            for pair in pairs:
                yield from _of_layers(culprit, pair, side)
            yield from _alone(culprit, pairs, side)
    except _MISFITS:
        return


def _factors(culprit: Culprit) -> Iterator[Differing]:
    """In half precision, factors of either side that no factor of the other is, beyond what storing them rounds."""
    unit = unit_of(region_numbers(culprit.graphs, culprit.measured))
    both = [[(n, *at) for n in s.of_kind(*SCALES) if (at := factor_at(s, n))] for s in culprit.subgraphs if unit]
    for side, found in reversed([*enumerate(both)]):
        others = [1.0, *(number for *_, number in both[1 - side])]
        for node, place, number in found:
            apart = [abs(number / other - 1) / (1 if other == 1 else 2) for other in others if other]
            if min(apart) > unit and abs(number - 1) < _NEAR_ONE:
                where = (node.name, "extra", None) if side else (culprit.where, "missing", node.name)
                who = "candidate" if side else "reference"
                words = f"the {who} alone multiplies by {number:.6g}, of which nothing is in the other side's numbers"
                yield Differing(side, node, partial(_without_factor, place), where, words)


def _without_factor(place: int, operation: Operation) -> Operation:
    return operation.with_data(*(np.ones_like(one) if at == place else one for at, one in enumerate(operation.data)))


def _of_layers(culprit: Culprit, pair: LayerPair, side: int) -> Iterator[Differing]:
    mine, theirs = (pair.reference, pair.candidate)[side], (pair.candidate, pair.reference)[side]
    for role in sorted((mine.parameters.keys() | theirs.parameters.keys()) - MATRICES):
        own, other = (_numbers(layer, role, twin) for layer, twin in ((mine, theirs), (theirs, mine)))
        if own is None or other is None or own.size != other.size or not _is_another(culprit, own, other):
            continue
        given = mine.bare({role: other.reshape(own.shape)})
        where = _holder(culprit.candidate, pair.candidate, role)
        yield _other(side, mine.node, role, where.name, _with_parameters(given))


def _other(side: int, node: Node, role: str, where: str, edit: _Edit) -> Differing:
    return Differing(side, node, edit, (where, role, None), f"the {role} at {where} is not the reference's")


def _holder(subgraph: Subgraph, layer: Layer, role: str) -> Node:
    """The node that has a role's numbers: the layer's own, or one behind it that adds them."""
    behind = [node for node in subgraph.of_kind(*SHIFTS) if node.index in layer.taken]
    return behind[-1] if behind and role in _ADDED and role not in layer.operation.parameters else layer.node


def _numbers(layer: Layer, role: str, twin: Layer) -> Array | None:
    """A layer's own, or zeros for what it adds nothing by."""
    if role in layer.parameters:
        return layer.parameters[role]
    return np.zeros_like(twin.parameters[role]) if role in _ADDED else None


def _alone(culprit: Culprit, pairs: list[LayerPair], side: int) -> Iterator[Differing]:
    """What is added outside of layers that answer each other: as many in order, else zeros for what is nowhere.

    One number alone that the other side adds nowhere is part of a formula: the epsilon of a norm that is spelled out.
    """
    mine, theirs = (_summands(culprit.subgraphs[one], pairs, one) for one in (side, 1 - side))
    in_order = [one.numbers.size for one in mine] == [one.numbers.size for one in theirs]
    for place, one in enumerate(mine):
        others = [other.numbers for other in theirs if other.numbers.size == one.numbers.size]
        if not in_order and one.numbers.size == 1:
            continue
        other = theirs[place].numbers if in_order else np.zeros_like(one.numbers)
        if in_order or all(_is_another(culprit, one.numbers, held) for held in others):
            where = one.node.name if side else theirs[place].node.name if in_order else culprit.where
            if _is_another(culprit, one.numbers, other):
                yield _other(side, one.node, "bias", where, one.given(other))


def _summands(subgraph: Subgraph, pairs: list[LayerPair], side: int) -> list[_Summand]:
    known = [(pair.reference, pair.candidate)[side] for pair in pairs]
    told = {index for layer in known for index in (layer.node.index, *layer.taken)}
    found = [
        _Summand(layer.node, layer.parameters[role].reshape(-1), partial(_in_role, role))
        for layer in layers(subgraph)
        if layer.node.index not in told
        for role in sorted(_ADDED & layer.parameters.keys())
    ]
    found += [one for node in subgraph.of_kind(*SHIFTS) if node.index not in told and (one := _added(subgraph, node))]
    return sorted(found, key=lambda one: one.node.index)


def _added(subgraph: Subgraph, node: Node) -> _Summand | None:
    """The constant that a node adds to a tensor or takes from one."""
    operation = subgraph.operation(node)
    if operation is None or len(operation.data) != 2 or node.attributes.get("alpha", 1) != 1:
        return None
    stored = [array for name in node.inputs if name and (array := subgraph.settled(name)) is not None]
    places = [k for k, each in enumerate(operation.data) if any(np.array_equal(each, array) for array in stored)]
    if len(places) != 1 or (operation.kind == "sub" and places == [0]):
        return None
    place, sign = places[0], -1.0 if operation.kind == "sub" else 1.0
    shape = operation.data[place].shape

    def given(other: Array) -> _Edit:
        def edit(operation: Operation) -> Operation:
            data = list(operation.data)
            data[place] = sign * other.reshape(shape)
            return operation.with_data(*data)

        return edit

    return _Summand(node, sign * operation.data[place].reshape(-1), given)


def _in_role(role: str, numbers: Array) -> _Edit:
    return _with_parameters({role: numbers})


def _with_parameters(given: Mapping[str, Array]) -> _Edit:
    return lambda operation: operation.with_parameters(**given)


def _is_another(culprit: Culprit, left: Array, right: Array) -> bool:
    """Whether two are further apart than storing them leaves, in 32 bits or in few."""
    left, right = left.reshape(-1).astype(np.float64), right.reshape(-1).astype(np.float64)
    if not left.size or not np.isfinite(left).all() or not np.isfinite(right).all():
        return False
    off, size = (float(np.sqrt(np.mean(np.square(one)))) for one in (right - left, np.maximum(abs(left), abs(right))))
    stored = [weight for subgraph in culprit.subgraphs for weight in subgraph.weights if weight.coded]
    grids = [w.quantization for w in stored if w.quantization is not None and np.prod(w.shape) == left.size]
    rounded = 2 * unit_of(
        region_numbers(culprit.graphs, culprit.measured)
    )  # the most that one rounding leaves, cut off
    return off > max(COARSE_BIAS, rounded) * size and off > max((grid.step for grid in grids), default=0.0)
