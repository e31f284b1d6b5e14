"""Which axis of a tensor is which of its partner's, followed through the nodes that compute it.

Where sizes are equal, shapes say nothing: a softmax on a transposed square matrix, or (BᵀAᵀ)ᵀ for A·B, looks like one
that was given the wrong operand. So the order in which a form was moved is taken for meant as long as everything that
reads it treats its axes as the other side treats theirs, until they stand in the old order again. Where a reader does
not (another softmax axis, a sum with what was not moved), the move is not meant: it stays an error of the node that
moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aligner.alignment.carried_axes import Entry, carried_axes
from aligner.alignment.compatibility import same_order
from aligner.alignment.element_order import AxisMap, Order, Step, axis_map, orders, permuted, plain, regrouped
from aligner.alignment.layout import axes_between, squeezed
from aligner.alignment.matching import Matching
from aligner.alignment.reading import Reading, reading
from aligner.records.axis_order import groups_alike

Steps = tuple[Step, ...]
Labels = tuple[Mapping[str, str], Mapping[str, str]]
_ROUNDS = 8
"""How often moves may be found not to be meant; each round refutes at least one."""


@dataclass(slots=True)
class AxisFlow:
    """``axes`` of root pairs by candidate root, where they follow from meant moves; ``refuted`` are the others' forms.

    ``known`` are element orders of all forms of a root pair, both in steps through the reference's root. ``inserted``
    are roots that nodes make which only the candidate has, and what they answer.
    """

    matching: Matching
    labels: Labels
    axes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refuted: set[str] = field(default_factory=set)
    known: dict[str, tuple[dict[str, Order], dict[str, Order]]] = field(default_factory=dict)
    _moves: dict[str, frozenset[str]] = field(default_factory=dict)
    inserted: dict[str, str] = field(init=False)
    answers: dict[str, str] = field(init=False)
    """Candidate root → reference root, of pairs and of what is inserted."""

    def __post_init__(self) -> None:
        left, right, known = self.matching.reference, self.matching.candidate, self.matching.root_source
        found = {right.root(candidate): left.root(reference) for reference, candidate in self.matching.second.inserted}
        self.inserted = {root: source for root, source in found.items() if root not in known}
        self.answers = {**known, **self.inserted}

    def axes_of(self, reference: str, candidate: str) -> tuple[int, ...] | None:
        """The axes that follow from meant moves, of a root or of a form; None where the shapes are to tell."""
        found = self.axes.get(candidate) if self.answers.get(candidate) == reference else None
        return found if found is not None else self.meant(reference, candidate)

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

    def _entry(self, reference: str, candidate: str) -> Entry | None:
        """How the axes of two forms answer each other; None where that is not known."""
        as_read = _as_read(self.matching, reference, candidate, self.labels)
        root = self.matching.candidate.root(candidate)
        if candidate in self.refuted and as_read is not None:
            return Entry(reference, as_read, frozenset())
        known = self.known.get(root)
        if known is None or reference not in known[0] or candidate not in known[1]:
            return None
        found = axis_map(known[0][reference], known[1][candidate])
        if found is None or found == as_read:
            return None if found is None else Entry(reference, found, frozenset())
        own = frozenset({candidate}) if candidate != root else frozenset()
        return Entry(reference, found, self._moves.get(root, frozenset()) | own)


def axis_flow(matching: Matching, labels: Labels) -> AxisFlow:
    """Follow the axes of all pairs from the inputs on."""
    flow = AxisFlow(matching, labels)
    order = matching.candidate.order
    place = {root: order.get(maker.index, 0) for root, maker in matching.candidate.producer.items()}
    roots = sorted(flow.answers, key=lambda root: place.get(root, -1))
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
    flow.refuted.update(*[_led_astray(flow, form) for form in flow.refuted])
    return flow


def _led_astray(flow: AxisFlow, form: str) -> list[str]:
    """The forms before one that is not meant which hold the same axes in each other's place: moves hand that on."""
    astray = _exchanged(flow, form)
    return [one for one in flow.matching.candidate.chain(form)[1:-1] if not astray.isdisjoint(_exchanged(flow, one))]


def _exchanged(flow: AxisFlow, form: str) -> set[frozenset[tuple[Steps, Steps]]]:
    """In which axes a form differs from a form of the reference that it looks like, for each: (there, here)."""
    known = flow.known.get(flow.matching.candidate.root(form), ({}, {}))
    found = set[frozenset[tuple[Steps, Steps]]]()
    for reference, order in known[0].items() if form in known[1] else ():
        read = _as_read(flow.matching, reference, form, flow.labels) or {}
        both = ((order[other], known[1][form][axis]) for axis, other in read.items())
        found.add(frozenset(pair for pair in both if pair[0] != pair[1]))
    return found - {frozenset()}


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
    reference, extra = flow.answers[root], root in flow.inserted
    left = reading(matching.reference, reference, matching.roots)
    sides = (
        Reading(matching.reference, reference, (), (reference,)) if extra else left,  # what it answers is all it reads
        reading(matching.candidate, root, flow.answers),
    )
    entries = _entries(flow, *sides)
    moved = {name: entry for name, entry in entries.items() if entry.moves}
    if moved or any(axis != other for entry in entries.values() for axis, other in entry.map.items()):
        moves = {move for entry in moved.values() for move in entry.moves}
        doubted = moves - matching.second.meant
        axes = _carried(flow, reference, sides, entries, sure=extra or (bool(moves) and not doubted))
        if moved and (axes is None or (doubted and _unread(flow, sides, moved))):
            flow.refuted |= doubted
            _know(flow, reference, root)  # by its shape, as nothing moved tells: else what reads it is refuted as well
            return
        if axes is not None and axes != _told_by_shape(flow, reference, root):
            flow.axes[root] = axes
            flow._moves[root] = frozenset().union(*(entry.moves for entry in moved.values()))
    _know(flow, reference, root)
    _check_outputs(flow, reference, root)


def _carried(
    flow: AxisFlow, reference: str, sides: tuple[Reading, Reading], entries: Mapping[str, Entry], *, sure: bool
) -> tuple[int, ...] | None:
    """The axes that a region gives its tensor; None where they do not follow, or its shape is another."""
    root = sides[1].root
    found = carried_axes(flow.matching, sides, entries, sure=sure)
    rank = flow._rank(reference, root)
    axes = _axes(found, rank) if found is not None and rank is not None else None
    return axes if axes is not None and _fits(flow.matching, reference, root, axes) else None


def _told_by_shape(flow: AxisFlow, reference: str, root: str) -> tuple[int, ...] | None:
    rank, read = flow._rank(reference, root), _as_read(flow.matching, reference, root, flow.labels)
    return _axes(read, rank) if read is not None and rank is not None else None


def _unread(flow: AxisFlow, sides: tuple[Reading, Reading], moved: Mapping[str, Entry]) -> bool:
    """Whether the reference does not read what the moved forms are forms of."""
    roots = {flow.matching.candidate.root(form) for form in moved}
    sources = {flow.answers.get(root) for root in roots}
    return not sources <= {flow.matching.reference.root(form) for form in sides[0].forms}


def _entries(flow: AxisFlow, left: Reading, right: Reading) -> dict[str, Entry]:
    """By candidate form: how it answers the form of the reference that is read for it."""
    matching = flow.matching
    found = {}
    for form in right.forms:
        source = flow.answers.get(matching.candidate.root(form))
        options = [other for other in left.forms if matching.reference.root(other) == source]
        read = matching.forms.get(form)
        for option in sorted(options, key=lambda other: other != read):
            entry = flow._entry(option, form)
            if entry is not None:
                found[form] = entry
                break
    return found


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
    if shapes[0] is None or shapes[1] is None:
        return None
    if len(shapes[0]) != len(shapes[1]):
        kept = [
            [axis - len(shape) for axis, size in enumerate(shape) if size != 1] for shape in shapes if shape is not None
        ]
        return dict(zip(kept[1], kept[0], strict=True)) if squeezed(shapes[0]) == squeezed(shapes[1]) else None
    comparable, axes = axes_between(shapes[0], shapes[1], (labels[0].get(reference), labels[1].get(candidate)))
    rank = len(shapes[0])
    if not comparable:
        return None
    return {place - rank: axis - rank for place, axis in enumerate(axes or range(rank)) if shapes[1][place] != 1}


def _axes(found: AxisMap, rank: int) -> tuple[int, ...] | None:
    """The axes of a transposition; those of length one fill the places that are left, in order."""
    taken = {other + rank for other in found.values()}
    spare = iter([axis for axis in range(rank) if axis not in taken])
    axes = [found[place - rank] + rank if place - rank in found else next(spare, -1) for place in range(rank)]
    return tuple(axes) if sorted(axes) == list(range(rank)) else None
