"""What answers each of the reference's outputs, whatever the pairing has made of it, and how far apart they are.

A pair of two outputs answers first; what is left is held against the outputs of the candidate that answer nothing, by
name, by place, or as the only one of its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aligner.alignment.layout import axes_between
from aligner.diff.difference import difference
from aligner.execution.side import OpenSide, Sides
from aligner.records.array import Array
from aligner.records.axis_order import to_reference
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.records.steps import ChannelOrder, HandedOn
from aligner.records.tensor import CapturedTensor

Kept = tuple[Mapping[str, CapturedTensor], Mapping[str, CapturedTensor]]
"""Outputs by value, the reference's and the candidate's."""


@dataclass(frozen=True, slots=True)
class OutputAnswer:
    """One output of the reference; ``candidate`` is None where nothing answers it.

    ``paired``: the pairing says so, or has compared the same elements elsewhere. ``axes`` as in ``PairedValues``;
    ``error`` is None where the two cannot be laid on each other; ``shared``: positions that both caches of a decoder
    hold, where one of them holds more; ``reordered``: the channels of one lie in another order, in which it is held.
    """

    reference: str
    candidate: str | None
    paired: bool
    axes: tuple[int, ...] | None = None
    error: Difference | None = None
    shared: int | None = None
    reordered: bool = False

    @property
    def agrees(self) -> bool:
        """Whether it is as near as the user asks for."""
        return self.error is not None and not (self.error.errors.beyond or self.error.mismatched)


def output_answers(
    sides: Sides,
    measured: Sequence[Measured],
    kept: tuple[Mapping[str, CapturedTensor], Mapping[str, CapturedTensor]],
    tolerance: tuple[float, float],
    caches: HandedOn,
) -> list[OutputAnswer]:
    """One answer for each output of the reference, in order; ``kept`` are both sides' untouched outputs.

    ``caches``: outputs of a decoder that are fed again, and of which one may hold fewer positions, or room for more.
    """
    left, right = (list(dict.fromkeys(side.graph.outputs)) for side in sides)
    given = set(right)
    paired = {item.pair.reference: item for item in measured if item.pair.candidate in given}
    answers = {value: _paired(paired[value]) for value in left if value in paired}
    used = {answer.candidate for answer in answers.values()}
    spare = [value for value in right if value not in used]
    for value in left:
        if value in answers:
            continue
        same = _elsewhere(sides, value, measured, given)
        answers[value] = same if same is not None else OutputAnswer(value, None, False)
    for value, other in _by_what_they_are(
        sides, (left, right), [v for v in left if not _is_answered(answers[v])], spare
    ):
        answers[value] = _held(value, other, kept, tolerance)
    for name, other_name in caches.pairs:
        value, other = _named(sides[0].graph, name), _named(sides[1].graph, other_name)
        order = caches.orders.get(other_name)
        if value in answers and other in kept[1] and (order is not None or answers[value].error is None):
            found = _on_shared_positions(value, other, kept, tolerance, caches.positions, order)
            answers[value] = replace(found, paired=any(item.pair.candidate == other for item in measured))
    return [answers[value] for value in left]


def exchanged(
    sides: Sides,
    answers: Sequence[OutputAnswer],
    kept: tuple[Mapping[str, CapturedTensor], Mapping[str, CapturedTensor]],
    tolerance: tuple[float, float],
) -> tuple[tuple[str, str], ...]:
    """Outputs whose namesake in the candidate is another one, beyond the tolerance: (its name, what answers it).

    Only of models that say by which names their outputs are read.
    """
    left, right = (set(side.session.signature.outputs) for side in sides)
    by_name = {_name(sides[1].graph, value): value for value in dict.fromkeys(sides[1].graph.outputs)}
    found = []
    for answer in answers:
        name = _name(sides[0].graph, answer.reference)
        other = by_name.get(name) if name in left & right else None
        if other is None or answer.candidate in (None, other):
            continue
        error = _held(answer.reference, other, kept, tolerance).error
        if error is None or error.mismatched or error.errors.beyond:
            found.append((name, _name(sides[1].graph, answer.candidate or "")))
    return tuple(found)


def _named(graph: Graph, name: str) -> str:
    """The value of an output, by any of its names."""
    known = ((value, graph.values[value]) for value in graph.outputs if value in graph.values)
    return next((value for value, one in known if name in (value, one.name, *one.aliases)), name)


def _is_answered(answer: OutputAnswer) -> bool:
    return answer.paired or answer.candidate is not None


def _paired(item: Measured) -> OutputAnswer:
    return OutputAnswer(item.pair.reference, item.pair.candidate, True, item.pair.axes, item.accumulated)


def _elsewhere(sides: Sides, value: str, measured: Sequence[Measured], given: set[str]) -> OutputAnswer | None:
    """The pair of an output of the candidate that holds the same elements in the same order: a view, a copy."""
    sketches = sides[0].profile.sketches if sides[0].profile is not None else {}
    own = sketches.get(value)
    for item in measured:
        other = sketches.get(item.pair.reference)
        if own is not None and other is not None and item.pair.candidate in given and own.same_elements(other):
            return OutputAnswer(value, item.pair.candidate, True, item.pair.axes, item.accumulated)
    return None


def _by_what_they_are(
    sides: Sides, outputs: tuple[list[str], list[str]], left: list[str], right: list[str]
) -> list[tuple[str, str]]:
    """Outputs without an answer against those that answer nothing: by name, by place, by shape."""
    level = len(outputs[0]) == len(outputs[1])

    def same_name(value: str, other: str) -> bool:
        return _name(sides[0].graph, value) == _name(sides[1].graph, other)

    def same_place(value: str, other: str) -> bool:
        return level and outputs[0].index(value) == outputs[1].index(other)

    def same_shape(value: str, other: str) -> bool:
        return _shape(sides[0], value) is not None and _shape(sides[0], value) == _shape(sides[1], other)

    found: list[tuple[str, str]] = []
    for fits in (same_name, same_place, same_shape):
        for value in list(left):
            partners = [other for other in right if fits(value, other)]
            rivals = [other for other in left if partners and fits(other, partners[0])]
            if len(partners) == 1 and len(rivals) == 1:
                found.append((value, partners[0]))
                left.remove(value)
                right.remove(partners[0])
    return found


def _name(graph: Graph, value: str) -> str:
    return graph.values[value].name if value in graph.values else value


def _shape(side: OpenSide, value: str) -> tuple[int, ...] | None:
    known = side.profile.sketches.get(value) if side.profile is not None else None
    return known.shape if known is not None else None


def _arrays(value: str, other: str, kept: Kept) -> tuple[Array, Array] | None:
    return (kept[0][value].real(), kept[1][other].real()) if value in kept[0] and other in kept[1] else None


def _on_shared_positions(
    value: str,
    other: str,
    kept: Kept,
    tolerance: tuple[float, float],
    positions: int,
    order: ChannelOrder | None = None,
) -> OutputAnswer:
    """Held against each other on the last of so many positions that both have, or on all in another ``order``.

    A window that slides lets go of those before it.
    """
    arrays = _arrays(value, other, kept)
    if arrays is None:
        return OutputAnswer(value, other, False)
    expected, found = arrays
    if order is not None:
        found = order.to_reference(found)
        if found.shape == expected.shape:
            error = difference(expected, found, atol=tolerance[0], rtol=tolerance[1])
            return OutputAnswer(value, other, False, order.axes, error, reordered=True)
        arrays = expected, found
    sizes = list(zip(expected.shape, found.shape, strict=False))
    uneven = [axis for axis, (one, two) in enumerate(sizes) if one != two]
    if expected.ndim != found.ndim or len(uneven) != 1 or not (shared := min(*sizes[uneven[0]], positions)):
        return OutputAnswer(value, other, False)
    ends = [_end(array, uneven[0], positions) for array in arrays]
    held = (array.take(range(end - shared, end), uneven[0]) for array, end in zip((expected, found), ends, strict=True))
    error = difference(*held, atol=tolerance[0], rtol=tolerance[1])
    return OutputAnswer(value, other, False, None, error, shared, order is not None)


def _end(cache: Array, axis: int, positions: int) -> int:
    """Where the held positions end: before room that nothing was written to, else with the cache itself."""
    size = int(cache.shape[axis])
    held = min(size, positions)
    return size if cache.take(range(held, size), axis).any() else held


def _held(value: str, other: str, kept: Kept, tolerance: tuple[float, float]) -> OutputAnswer:
    arrays = _arrays(value, other, kept)
    if arrays is None:
        return OutputAnswer(value, other, False)
    expected, found = arrays
    comparable, axes = axes_between(tuple(expected.shape), tuple(found.shape), (None, None))
    moved = to_reference(found, axes, tuple(expected.shape)) if comparable else None
    if moved is None:
        return OutputAnswer(value, other, False)
    return OutputAnswer(value, other, False, axes, difference(expected, moved, atol=tolerance[0], rtol=tolerance[1]))
