"""Which axis of a tensor is which of its partner's, followed through the nodes that compute it.

Where sizes are equal, shapes say nothing: a softmax on a transposed square matrix, or (BᵀAᵀ)ᵀ for A·B, looks like one
that was given the wrong operand. So the order in which a form was moved is taken for meant as long as everything that
reads it treats its axes as the other side treats theirs, until they stand in the old order again. Where a reader does
not (another softmax axis, a sum with what was not moved), the move is not meant: it stays an error of the node that
moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aligner.alignment.compatibility import same_order
from aligner.alignment.element_order import Order, merged, orders, permuted, plain, regrouped
from aligner.alignment.layout import axes_between
from aligner.alignment.matching import Matching
from aligner.alignment.reading import Reading, reading
from aligner.alignment.skeleton import Skeleton, reads_turned
from aligner.operations.kinds import ALONG_AN_AXIS, COPIES, ELEMENTWISE, STRIDED, SUMS_AXIS
from aligner.records.axis_order import groups_alike
from aligner.records.graph import Node

AxisMap = Mapping[int, int]
"""Candidate axis → reference axis, both counted from the end (−1, −2 …), for axes longer than one."""
Labels = tuple[Mapping[str, str], Mapping[str, str]]
_POINTWISE = ELEMENTWISE | COPIES
_ALONG_AXES = SUMS_AXIS - STRIDED - {"attention"}
_ROUNDS = 8
"""How often moves may be found not to be meant; each round refutes at least one."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A form that a region reads on both sides: how its axes answer, and the moves that this rests on."""

    map: AxisMap
    moves: frozenset[str]


@dataclass(slots=True)
class AxisFlow:
    """``axes`` of root pairs by candidate root, where they follow from meant moves; ``refuted`` are the others' forms.

    ``known`` are element orders of all forms of a root pair, both in steps through the reference's root.
    """

    matching: Matching
    labels: Labels
    axes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refuted: set[str] = field(default_factory=set)
    known: dict[str, tuple[dict[str, Order], dict[str, Order]]] = field(default_factory=dict)
    _moves: dict[str, frozenset[str]] = field(default_factory=dict)

    def meant(self, reference: str, candidate: str) -> tuple[int, ...] | None:
        """The axes that carry one form into the other where the candidate's move is meant; None where it is plain."""
        root = self.matching.candidate.root(candidate)
        if candidate in self.refuted or root not in self.known:
            return None
        entry = self._entry(reference, candidate)
        rank = self._rank(reference, candidate)
        return _axes(entry.map, rank) if entry is not None and entry.moves and rank else None

    def _rank(self, reference: str, candidate: str) -> int | None:
        shapes = self.matching.reference.shape(reference), self.matching.candidate.shape(candidate)
        if shapes[0] is None or shapes[1] is None or len(shapes[0]) != len(shapes[1]):
            return None
        return len(shapes[0])

    def _entry(self, reference: str, candidate: str) -> _Entry | None:
        """How the axes of two forms answer each other; None where that is not known."""
        as_read = _as_read(self.matching, reference, candidate, self.labels)
        root = self.matching.candidate.root(candidate)
        if candidate in self.refuted and as_read is not None:
            return _Entry(as_read, frozenset())
        known = self.known.get(root)
        if known is None or reference not in known[0] or candidate not in known[1]:
            return None
        found = _map(known[0][reference], known[1][candidate])
        if found is None or found == as_read:
            return None if found is None else _Entry(found, frozenset())
        own = frozenset({candidate}) if candidate != root else frozenset()
        return _Entry(found, self._moves.get(root, frozenset()) | own)


def axis_flow(matching: Matching, labels: Labels) -> AxisFlow:
    """Follow the axes of all pairs from the inputs on."""
    flow = AxisFlow(matching, labels)
    order = matching.candidate.order
    place = {root: order.get(maker.index, 0) for root, maker in matching.candidate.producer.items()}
    roots = sorted(matching.root_source, key=lambda root: place.get(root, -1))
    square = [root for root in roots if _ambiguous(matching, root)]
    if not square:
        return flow
    for _ in range(_ROUNDS):
        flow.axes.clear()
        flow.known.clear()
        flow._moves.clear()
        before = len(flow.refuted)
        for root in roots:
            _follow(flow, root)
        if len(flow.refuted) == before:
            break
    else:
        flow.axes.clear()
        flow.known.clear()
    return flow


def _ambiguous(matching: Matching, root: str) -> bool:
    """Whether some form of a tensor has two axes of one size and was moved, so that its shape does not tell them."""
    members = matching.candidate.members(root)
    if len(members) == 1:
        return False
    for member in members:
        sizes = [dim for dim in matching.candidate.shape(member) or () if dim != 1]
        if len(set(sizes)) != len(sizes):
            return True
    return False


def _follow(flow: AxisFlow, root: str) -> None:
    """The axes of one root pair, from what both sides read; then the orders of its forms."""
    matching = flow.matching
    reference = matching.root_source[root]
    sides = (
        reading(matching.reference, reference, matching.roots),
        reading(matching.candidate, root, matching.root_source),
    )
    entries = _entries(flow, *sides)
    moved = {name: entry for name, entry in entries.items() if entry.moves}
    if moved or any(axis != other for entry in entries.values() for axis, other in entry.map.items()):
        axes = _carried(flow, reference, sides, entries)
        if moved and (axes is None or _unread(flow, sides, moved)):
            flow.refuted |= {move for entry in moved.values() for move in entry.moves}
            return
        if axes is not None and axes != _told_by_shape(flow, reference, root):
            flow.axes[root] = axes
            flow._moves[root] = frozenset().union(*(entry.moves for entry in moved.values()))
    _know(flow, reference, root)
    _check_outputs(flow, reference, root)


def _carried(
    flow: AxisFlow, reference: str, sides: tuple[Reading, Reading], entries: Mapping[str, _Entry]
) -> tuple[int, ...] | None:
    """The axes that a region gives its tensor; None where they do not follow, or its shape is another."""
    root = flow.matching.roots[reference][0]
    found, rank = _through(flow, sides, entries), flow._rank(reference, root)
    axes = _axes(found, rank) if found is not None and rank is not None else None
    return axes if axes is not None and _fits(flow.matching, reference, root, axes) else None


def _told_by_shape(flow: AxisFlow, reference: str, root: str) -> tuple[int, ...] | None:
    rank, read = flow._rank(reference, root), _as_read(flow.matching, reference, root, flow.labels)
    return _axes(read, rank) if read is not None and rank is not None else None


def _unread(flow: AxisFlow, sides: tuple[Reading, Reading], moved: Mapping[str, _Entry]) -> bool:
    """Whether the reference does not read what the moved forms are forms of."""
    roots = {flow.matching.candidate.root(form) for form in moved}
    sources = {flow.matching.root_source.get(root) for root in roots}
    return not sources <= {flow.matching.reference.root(form) for form in sides[0].forms}


def _entries(flow: AxisFlow, left: Reading, right: Reading) -> dict[str, _Entry]:
    """By candidate form: how it answers the form of the reference that is read for it."""
    matching = flow.matching
    found = {}
    for form in right.forms:
        source = matching.root_source.get(matching.candidate.root(form))
        options = [other for other in left.forms if matching.reference.root(other) == source]
        read = matching.forms.get(form)
        for option in sorted(options, key=lambda other: other != read):
            entry = flow._entry(option, form)
            if entry is not None:
                found[form] = entry
                break
    return found


def _through(flow: AxisFlow, sides: tuple[Reading, Reading], entries: Mapping[str, _Entry]) -> AxisMap | None:
    """What a region makes of its operands' axes; None where the two sides treat them differently, or nobody knows."""
    products = [[node for node in side.nodes if node.kind == "matmul"] for side in sides]
    if products[0] or products[1]:
        return _product(flow, sides, products, entries)
    if not all(node.kind in _POINTWISE or _axes_used(side, node, rank=None) for side in sides for node in side.nodes):
        return None
    found = _union(entries[form].map for form in sides[1].forms if form in entries)
    if found is None or any(form not in entries for form in sides[1].forms if _wide(sides[1].skeleton, form)):
        return None
    used = [_all_used(side) for side in sides]
    if used[0] is None or used[1] is None or {found.get(axis, axis) for axis in used[1]} != used[0]:
        return None
    return found


def _wide(skeleton: Skeleton, form: str) -> bool:
    """Whether a form has more than one axis to mistake."""
    return sum(1 for dim in skeleton.shape(form) or () if dim != 1) > 1


def _all_used(side: Reading) -> set[int] | None:
    found: set[int] = set()
    for node in side.nodes:
        if node.kind in _POINTWISE:
            continue
        axes = _axes_used(side, node, rank=None)
        if axes is None:
            return None
        found |= axes
    return found


def _axes_used(side: Reading, node: Node, rank: int | None) -> set[int] | None:
    """The axes that a node treats otherwise than the rest, counted from the end; None where that is not known."""
    shape = side.skeleton.shape(side.skeleton.data_inputs(node)[0]) if side.skeleton.data_inputs(node) else None
    if shape is None or side.skeleton.shape(node.outputs[0]) is None:
        return None
    rank = rank or len(shape)
    if len(side.skeleton.shape(node.outputs[0]) or ()) != rank:
        return None  # a sum that drops its axis
    if node.kind == "norm":
        word = node.op.rpartition("::")[2].replace("_", "").lower()
        if "layer" not in word and "rms" not in word:
            channels = str(node.attributes.get("channels") or side.skeleton.graph.channels)
            return {-1 if channels == "last" else 1 - rank}
        return _last_axes(node, rank)
    if node.kind not in _ALONG_AXES | ALONG_AN_AXIS:
        return None
    unsaid = None if node.kind in ALONG_AN_AXIS else -1
    axes = node.attributes.get("axes", node.attributes.get("axis", node.attributes.get("dim", unsaid)))
    given = axes if isinstance(axes, tuple) else (axes,)
    if not all(isinstance(axis, int) for axis in given):
        return None
    return {int(axis) % rank - rank for axis in given if isinstance(axis, int) and shape[int(axis) % rank] != 1}


def _last_axes(node: Node, rank: int) -> set[int] | None:
    axes, axis = node.attributes.get("axes"), node.attributes.get("axis", -1)
    if isinstance(axes, tuple) and all(isinstance(one, int) for one in axes):
        return {int(one) % rank - rank for one in axes if isinstance(one, int)}
    return set(range(int(axis) % rank - rank, 0)) if isinstance(axis, int) else None


def _product(
    flow: AxisFlow,
    sides: tuple[Reading, Reading],
    products: list[list[Node]],
    entries: Mapping[str, _Entry],
) -> AxisMap | None:
    """The axes of a product from those of its factors: rows of the left one, columns of the right one."""
    others = [node for side, some in zip(sides, products, strict=True) for node in side.nodes if node not in some]
    if any(len(some) != 1 for some in products) or any(node.kind not in _POINTWISE for node in others):
        return None
    factors = [side.skeleton.data_inputs(some[0]) for side, some in zip(sides, products, strict=True)]
    if any(len(some) == 1 for some in factors):
        return _product_with_weight(flow, [some[0] for some in products], factors, entries)
    if any(len(some) != 2 for some in factors):
        return None
    answers = [_answer(flow, factors[0], form, entries) for form in factors[1]]
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


def _product_with_weight(
    flow: AxisFlow, products: list[Node], factors: list[list[str]], entries: Mapping[str, _Entry]
) -> AxisMap | None:
    """The axes of a product with a stored matrix: (WᵀXᵀ)ᵀ for X·W, the matrix turned if its place is the other one."""
    import numpy as np

    sides = flow.matching.reference, flow.matching.candidate
    if any(len(some) != 1 for some in factors) or factors[1][0] not in entries:
        return None
    places = [list(node.inputs).index(some[0]) for node, some in zip(products, factors, strict=True)]
    stored = [
        side.graph.weights.get(node.inputs[1 - place])
        for side, node, place in zip(sides, products, places, strict=True)
    ]
    if stored[0] is None or stored[1] is None or any(len(node.inputs) != 2 for node in products):
        return None
    matrices = [stored[0].values(), stored[1].values()]
    if matrices[0].ndim != 2:
        return None
    expected = matrices[0] if places[0] == places[1] else matrices[0].T
    if matrices[1].shape != expected.shape or not np.array_equal(matrices[1], expected):
        return None
    columns = [-1 if place == 0 else -2 for place in places]
    return _factor({columns[1]: columns[0]}, entries[factors[1][0]].map, places[1], places[0])


def _answer(flow: AxisFlow, factors: list[str], form: str, entries: Mapping[str, _Entry]) -> int | None:
    """Which of the reference's two factors a candidate's form answers."""
    if form not in entries:
        return None
    source = flow.matching.root_source.get(flow.matching.candidate.root(form))
    places = [place for place, name in enumerate(factors) if flow.matching.reference.root(name) == source]
    return places[0] if len(places) == 1 else None


def _union(maps: Iterable[AxisMap]) -> AxisMap | None:
    found: dict[int, int] = {}
    for one in maps:
        for axis, other in one.items():
            if found.setdefault(axis, other) != other:
                return None
    return found if len(set(found.values())) == len(found) else None


def _fits(matching: Matching, reference: str, candidate: str, axes: tuple[int, ...]) -> bool:
    shape = matching.reference.shape(reference)
    return shape is not None and tuple(shape[axis] for axis in axes) == matching.candidate.shape(candidate)


def _know(flow: AxisFlow, reference: str, root: str) -> None:
    """Element orders of all forms of a pair, from the axes of its roots or of the first forms that can be laid out."""
    matching = flow.matching
    found = known_orders(matching, (reference, root), flow.labels, flow.axes.get(root))
    if found[0]:
        flow.known[root] = found


def known_orders(
    matching: Matching, roots: tuple[str, str], labels: Labels, axes: tuple[int, ...] | None = None
) -> tuple[dict[str, Order], dict[str, Order]]:
    """Element orders of all forms of a pair, in steps through the reference's root; empty where no form is sure."""
    left, right = matching.reference, matching.candidate
    members = left.members(roots[0]), right.members(roots[1])
    shape = left.shape(roots[0])
    if shape is None or 0 in shape:
        return {}, {}
    known = orders(left, members[0], roots[0], plain(shape))
    if axes is not None:
        return known, orders(right, members[1], roots[1], permuted(known[roots[0]], axes))
    anchors = [roots, *((matching.forms[value], value) for value in members[1] if matching.forms.get(value) in known)]
    for one, other in anchors:
        shapes = left.shape(one), right.shape(other)
        if shapes[0] is None or shapes[1] is None:
            continue
        comparable, found = axes_between(shapes[0], shapes[1], (labels[0].get(one), labels[1].get(other)))
        if not comparable and not _regrouped_alike(matching, one, other):
            continue
        order = regrouped(known[one] if found is None else permuted(known[one], found), shapes[1])
        if order is not None:
            return known, orders(right, members[1], other, order)
    return {}, {}


def _regrouped_alike(matching: Matching, reference: str, candidate: str) -> bool:
    """Whether two forms differ in the grouping of their axes alone, as their numbers confirm."""
    shapes = matching.reference.shape(reference), matching.candidate.shape(candidate)
    if shapes[0] is None or shapes[1] is None or not groups_alike(shapes[0], shapes[1]):
        return False
    sketches = matching.reference.sketches.get(reference), matching.candidate.sketches.get(candidate)
    return bool(same_order(*sketches))


def _check_outputs(flow: AxisFlow, reference: str, root: str) -> None:
    """An output in another order is not meant: nobody behind it can put it right."""
    matching = flow.matching
    ends = [value for value in matching.candidate.members(root) if value in matching.candidate.graph.outputs]
    outputs = [value for value in matching.reference.members(reference) if value in matching.reference.graph.outputs]
    for value in ends:
        for other in outputs:
            entry = flow._entry(other, value)
            if entry is not None:
                flow.refuted |= entry.moves


def _as_read(matching: Matching, reference: str, candidate: str, labels: Labels) -> AxisMap | None:
    """How the axes answer by shapes and by where channels are, as if nothing had been moved."""
    shapes = matching.reference.shape(reference), matching.candidate.shape(candidate)
    if shapes[0] is None or shapes[1] is None or len(shapes[0]) != len(shapes[1]):
        return None
    comparable, axes = axes_between(shapes[0], shapes[1], (labels[0].get(reference), labels[1].get(candidate)))
    rank = len(shapes[0])
    if not comparable:
        return None
    return {place - rank: axis - rank for place, axis in enumerate(axes or range(rank)) if shapes[1][place] != 1}


def _map(reference: Order, candidate: Order) -> AxisMap | None:
    """Which axis of one form is which of the other, by the steps that they take; None where they are grouped apart."""
    places = {merged(axis): place - len(reference) for place, axis in enumerate(reference) if axis}
    found = {}
    for place, axis in enumerate(candidate):
        if axis:
            if merged(axis) not in places:
                return None
            found[place - len(candidate)] = places[merged(axis)]
    return found


def _axes(found: AxisMap, rank: int) -> tuple[int, ...] | None:
    """The axes of a transposition; those of length one fill the places that are left, in order."""
    taken = {other + rank for other in found.values()}
    spare = iter([axis for axis in range(rank) if axis not in taken])
    axes = [found[place - rank] + rank if place - rank in found else next(spare, -1) for place in range(rank)]
    return tuple(axes) if sorted(axes) == list(range(rank)) else None
