"""What a region makes of the axes of what it reads: kept by what works element by element, used up by products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from aligner.alignment.element_order import AxisMap
from aligner.alignment.folded_layer import normalisation
from aligner.alignment.matching import Matching
from aligner.alignment.reading import Places, Reading
from aligner.alignment.skeleton import Skeleton, reads_turned
from aligner.operations.kinds import ALONG_AN_AXIS, COPIES, ELEMENTWISE, LINEAR, STRIDED, SUMS_AXIS
from aligner.operations.settings import Convolution, LayerNorm, LengthNorm, Norm, RmsNorm
from aligner.parameters.canonical import canonical
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node

_POINTWISE = ELEMENTWISE | COPIES
_ALONG_AXES = SUMS_AXIS - STRIDED - {"attention"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A form that a region reads on both sides: what it answers, how its axes do, and the moves that this rests on."""

    source: str
    map: AxisMap
    moves: frozenset[str]


def carried_axes(
    matching: Matching, sides: tuple[Reading, Reading], entries: Mapping[str, Entry], *, sure: bool = False
) -> AxisMap | None:
    """What a region makes of its operands' axes; None where the two sides treat them differently, or nobody knows.

    ``sure``: the operands' axes are what they are said to be, and a side that treats them differently is wrong.
    """
    products = [[node for node in side.nodes if node.kind in LINEAR] for side in sides]
    places = sides[0].places(), sides[1].places()
    if products[0] or products[1]:
        found = _product(matching, sides, products, entries)
        ends = [some[0].outputs[0] for some in products] if found is not None else ()
        return _union(_outward(found, places, *ends)) if found is not None else None
    if not all(node.kind in _POINTWISE or _axes_used(side, node) for side in sides for node in side.nodes):
        return None
    if any(form not in entries for form in sides[1].forms if _wide(sides[1].skeleton, form)):
        return None
    known = [(entries[form], form) for form in sides[1].forms if form in entries]
    found = _union(each for entry, form in known for each in _outward(entry.map, places, entry.source, form))
    used = [_all_used(side, some) for side, some in zip(sides, places, strict=True)]
    if found is None or None in used:
        return None
    if not sure and {found.get(axis, axis) for axis in used[1] or ()} != used[0]:
        return None
    return found


def _outward(inner: AxisMap, places: tuple[Places, Places], reference: str, candidate: str) -> Iterator[AxisMap | None]:
    """How the axes of two regions' ends answer, from how those of two tensors inside do; None where that is not known.

    A tensor that goes there by several ways goes by as many on the other side.
    """
    ways = places[0].get(reference, []), places[1].get(candidate, [])
    if len(ways[0]) != len(ways[1]):
        yield None
    for left, right in zip(*ways, strict=False):
        if left is None or right is None or not (inner.keys() <= right.keys() and {*inner.values()} <= left.keys()):
            yield None
        else:
            yield {right[axis]: left[other] for axis, other in inner.items()}


def _wide(skeleton: Skeleton, form: str) -> bool:
    """Whether a form has more than one axis to mistake."""
    return sum(1 for dim in skeleton.shape(form) or () if dim != 1) > 1


def _all_used(side: Reading, places: Places) -> set[int] | None:
    """The axes of a region's end that some node in it treats otherwise than the rest."""
    found: set[int] = set()
    for node in side.nodes:
        if node.kind in _POINTWISE:
            continue
        axes = _axes_used(side, node)
        ways = places.get(node.outputs[0], [])
        if axes is None or any(way is None or not axes <= way.keys() for way in ways):
            return None
        found |= {way[axis] for way in ways if way is not None for axis in axes}
    return found


def _axes_used(side: Reading, node: Node) -> set[int] | None:
    """The axes that a node treats otherwise than the rest, counted from the end; None where that is not known."""
    data = side.skeleton.data_inputs(node)
    shape, after = (side.skeleton.shape(name) for name in (data[0] if data else "", node.outputs[0]))
    if shape is None or after is None or len(after) != len(shape):
        return None  # not known, or a sum that drops its axis
    rank = len(shape)
    if node.kind == "norm":
        return _normalised(side.skeleton, node, rank)
    if node.kind not in _ALONG_AXES | ALONG_AN_AXIS:
        return None
    unsaid = None if node.kind in ALONG_AN_AXIS else -1
    axes = node.attributes.get("axes", node.attributes.get("axis", unsaid))
    given = axes if isinstance(axes, tuple) else (axes,)
    if not all(isinstance(axis, int) for axis in given):
        return None
    return {int(axis) % rank - rank for axis in given if isinstance(axis, int) and shape[int(axis) % rank] != 1}


def _normalised(skeleton: Skeleton, node: Node, rank: int) -> set[int] | None:
    """The axes along which a normalisation sums up, where it names them; else that of the channels."""
    operation = normalisation(skeleton, node)
    settings = operation.settings if operation is not None else None
    if isinstance(settings, (LayerNorm, RmsNorm, LengthNorm)):
        return {axis % rank - rank for axis in settings.axes}
    return {settings.axis % rank - rank} if isinstance(settings, Norm) else None


def _product(
    matching: Matching,
    sides: tuple[Reading, Reading],
    products: list[list[Node]],
    entries: Mapping[str, Entry],
) -> AxisMap | None:
    """The axes of a product from those of its factors: rows of the left one, columns of the right one."""
    others = [node for side, some in zip(sides, products, strict=True) for node in side.nodes if node not in some]
    if any(len(some) != 1 for some in products) or any(node.kind not in _POINTWISE for node in others):
        return None
    factors = [side.skeleton.data_inputs(some[0]) for side, some in zip(sides, products, strict=True)]
    if any(len(some) == 1 for some in factors):
        return _layers(matching, [some[0] for some in products], factors, entries)
    if any(len(some) != 2 for some in factors):
        return None
    answers = [_answer(matching, factors[0], form, entries) for form in factors[1]]
    if None in answers or answers[0] == answers[1]:
        return None
    found: dict[int, int] | None = {}
    for place, form in enumerate(factors[1]):
        answer = answers[place]
        turned = answer is not None and reads_turned(products[0][0], factors[0][answer])
        straight = _unturned(entries[form].map, reads_turned(products[1][0], form), turned)
        found = _factor(found, straight, place, answer)
    return found


def _unturned(entry: AxisMap, candidate: bool, reference: bool) -> AxisMap:
    """How the axes of two factors answer as the product takes them, which may exchange the last two of either."""
    other = {-1: -2, -2: -1}
    return {
        (other.get(axis, axis) if candidate else axis): (other.get(source, source) if reference else source)
        for axis, source in entry.items()
    }


def _factor(found: dict[int, int] | None, entry: AxisMap, place: int, answer: int | None) -> dict[int, int] | None:
    """Add what one factor says of the product's axes; None where it contradicts, or is summed along another axis."""
    kept, inner = (-2, -1) if place == 0 else (-1, -2)
    origin = (-2, -1) if answer == 0 else (-1, -2)
    for axis, other in entry.items():
        if found is None or ((axis == inner) != (other == origin[1])) or ((axis == kept) != (other == origin[0])):
            return None
        if axis != inner and found.setdefault(axis, other) != other:
            return None
    return found if found is not None and len(set(found.values())) == len(found) else None


def _layers(
    matching: Matching, products: list[Node], factors: list[list[str]], entries: Mapping[str, Entry]
) -> AxisMap | None:
    """The axes of a product with one stored matrix, whichever of both sides' axes it sums up."""
    sides = matching.reference, matching.candidate
    if any(len(some) != 1 for some in factors) or factors[1][0] not in entries:
        return None
    left, right = (_layer(side, node) for side, node in zip(sides, products, strict=True))
    if left is None or right is None or not np.array_equal(left[1], right[1]):
        return None
    found = {right[0]: left[0]}
    for axis, other in entries[factors[1][0]].map.items():
        if (axis == right[0]) != (other == left[0]):
            return None
        found[axis] = other
    return found


def _layer(skeleton: Skeleton, node: Node) -> tuple[int, Array] | None:
    """The axis along which a product with a stored matrix sums, and where its result then lies; the matrix [out, in].

    Spelled X·W, W·X or as a convolution whose window is one place.
    """
    operation, form = canonical(skeleton.graph, node, skeleton.shape), skeleton.data_inputs(node)[0]
    shape = skeleton.shape(form)
    if operation is None or shape is None or reads_turned(node, form):
        return None
    kernel, settings = operation.parameters.get("kernel"), operation.settings
    if isinstance(settings, Convolution) and kernel is not None:
        windows = {*kernel.shape[2:], *settings.strides, settings.groups} != {1} or np.any(settings.pads)
        axis = 1 - len(shape) if settings.channels == "first" else -1
        return None if windows else (axis, kernel.reshape(kernel.shape[:2]))
    if operation.kind != "matmul":
        return None
    if kernel is None and node.inputs[0] != form:
        return (-2, operation.data[0]) if operation.data[0].ndim == 2 else None
    return (-1, kernel) if kernel is not None else None


def _answer(matching: Matching, factors: list[str], form: str, entries: Mapping[str, Entry]) -> int | None:
    """Which of the reference's two factors a candidate's form answers."""
    if form not in entries:
        return None
    source = matching.reference.root(entries[form].source)
    places = [place for place, name in enumerate(factors) if matching.reference.root(name) == source]
    return places[0] if len(places) == 1 else None


def _union(maps: Iterable[AxisMap | None]) -> AxisMap | None:
    found: dict[int, int] = {}
    for one in maps:
        if one is None:
            return None
        for axis, other in one.items():
            if found.setdefault(axis, other) != other:
                return None
    return found if len(set(found.values())) == len(found) else None
