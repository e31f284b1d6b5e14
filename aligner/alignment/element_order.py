"""In which order each form of a tensor holds its elements: worked out from reshapes and transpositions alone.

A form is described by the steps its axes take through the tensor it was made from, as a strided view is. Splitting and
merging axes and reordering them keeps that exact, whatever the numbers are; square and constant tensors do not confuse
it. What cannot be followed (a transposition whose axes are not known) has no description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.alignment.skeleton import Skeleton
from aligner.operations.blocks import written_out
from aligner.operations.settings import Blocks
from aligner.parameters.canonical import canonical
from aligner.records.graph import Node

Step = tuple[int, int]
"""(how many, how far apart in the tensor described)."""
Order = tuple[tuple[Step, ...], ...]
"""For each axis of a form the steps it takes, slowest first; none for an axis of length one."""
AxisMap = Mapping[int, int]
"""Candidate axis → reference axis, both counted from the end (−1, −2 …), for axes longer than one."""


def plain(shape: Sequence[int]) -> Order:
    """The order of a tensor that describes itself: row by row."""
    order: list[tuple[Step, ...]] = []
    stride = 1
    for dim in reversed(shape):
        order.append(((dim, stride),) if dim != 1 else ())
        stride *= dim
    return tuple(reversed(order))


def permuted(order: Order, axes: Sequence[int]) -> Order:
    """After a transposition."""
    return tuple(order[axis] for axis in axes)


def regrouped(order: Order, shape: Sequence[int]) -> Order | None:
    """After a reshape; None where the new axes cut across the old ones."""
    steps, axes = list(flat(order)), []
    for dim in shape:
        taken, missing = [], dim
        while missing > 1:
            if not steps:
                return None
            length, stride = steps[0]
            if missing % length == 0:
                taken.append(steps.pop(0))
                missing //= length
            elif length % missing == 0:
                taken.append((missing, stride * (length // missing)))
                steps[0] = (length // missing, stride)
                missing = 1
            else:
                return None
        axes.append(merged(taken))
    return None if steps else tuple(axes)


def flat(order: Order) -> tuple[Step, ...]:
    """The order of the elements alone, however they are grouped into axes."""
    return merged([step for axis in order for step in axis])


def merged(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps that follow on each other as one."""
    found: list[Step] = []
    for length, stride in steps:
        if found and found[-1][1] == length * stride:
            found[-1] = (found[-1][0] * length, stride)
        elif length != 1:
            found.append((length, stride))
    return tuple(found)


def axis_map(reference: Order, candidate: Order) -> AxisMap | None:
    """Which axis of one form is which of the other, by the steps that they take; None where they are grouped apart."""
    places = {merged(axis): place - len(reference) for place, axis in enumerate(reference) if axis}
    found = {}
    for place, axis in enumerate(candidate):
        if axis:
            if merged(axis) not in places:
                return None
            found[place - len(candidate)] = places[merged(axis)]
    return found


def axes_into(reference: Order, candidate: Order) -> tuple[int, ...] | None:
    """The axes that carry one form into the other; () where the elements already lie in that order.

    Where one side has more axes, they are those of the finer side: the other's are split first, or merged after.
    None where neither side is the finer one.
    """
    if flat(reference) == flat(candidate):
        return ()
    for left, right in ((reference, candidate), (_as_fine(reference, candidate), candidate)):
        axes = _matched(left, right) if left is not None else None
        if axes is not None:
            return axes
    finer = _as_fine(candidate, reference)
    return _matched(reference, finer) if finer is not None else None


def _matched(reference: Order, candidate: Order) -> tuple[int, ...] | None:
    places = {merged(axis): place for place, axis in enumerate(reference) if axis}
    spare = [place for place, axis in enumerate(reference) if not axis]
    axes = []
    for axis in candidate:
        place = places.pop(merged(axis), None) if axis else (spare.pop(0) if spare else None)
        if place is None:
            return None
        axes.append(place)
    return tuple(axes) if not places and not spare else None


def _as_fine(coarse: Order, fine: Order) -> Order | None:
    """An order whose axes are split into those that the other has; its axes of length one stand where they may."""
    wanted = [axis for axis in fine if axis]
    split: list[tuple[Step, ...]] = []
    for axis in coarse:
        rest = merged(axis)
        while rest:
            part = next((axis for axis in wanted if _starts(rest, merged(axis))), None)
            if part is None:
                return None
            split.append(part)
            wanted.remove(part)
            rest = _without(rest, merged(part))
    return None if wanted else tuple(split + [()] * (len(fine) - len(split)))


def _starts(steps: tuple[Step, ...], part: tuple[Step, ...]) -> bool:
    if len(part) > len(steps) or steps[: len(part) - 1] != part[:-1]:
        return False
    (length, stride), (taken, apart) = steps[len(part) - 1], part[-1]
    return length % taken == 0 and apart == stride * (length // taken)


def _without(steps: tuple[Step, ...], part: tuple[Step, ...]) -> tuple[Step, ...]:
    length, stride = steps[len(part) - 1]
    left = length // part[-1][0]
    rest: tuple[Step, ...] = ((left, stride),) if left > 1 else ()
    return rest + steps[len(part) :]


def orders(skeleton: Skeleton, members: Sequence[str], start: str, order: Order) -> dict[str, Order]:
    """The order of every form that can be followed from one whose order is known, with and against the flow."""
    inside = set(members)
    found, stack = {start: order}, [start]
    while stack:
        value = stack.pop()
        node = skeleton.producer.get(value)
        source = skeleton.moved(node) if node is not None else None
        if node is not None and source in inside and source not in found:
            _note(found, stack, source, _before(skeleton, node, source, found[value]))
        for reader in skeleton.graph.readers(value):
            if skeleton.moved(reader) == value and reader.outputs[0] not in found:
                _note(found, stack, reader.outputs[0], moved_order(skeleton, reader, found[value]))
    return found


def _note(found: dict[str, Order], stack: list[str], value: str, order: Order | None) -> None:
    if order is not None:
        found[value] = order
        stack.append(value)


def moved_order(skeleton: Skeleton, node: Node, order: Order) -> Order | None:
    """The order behind a node that moves."""
    shape = skeleton.shape(node.outputs[0])
    if node.kind == "transpose":
        axes = node.permutation(len(order))
        return None if axes is None else permuted(order, axes)
    if node.kind == "depth_to_space":
        steps = _blocks(skeleton, node)
        return None if steps is None else _rearranged(order, *steps)
    return None if shape is None else regrouped(order, shape)


def _blocks(skeleton: Skeleton, node: Node) -> tuple[tuple[int, ...], ...] | None:
    """What blocks moved into channels, or back, are written out: sizes, axes, sizes."""
    operation = canonical(skeleton.graph, node, skeleton.shape)
    settings = operation.settings if operation is not None else None
    shape = skeleton.shape(node.inputs[0])
    return written_out(settings, shape) if isinstance(settings, Blocks) and shape is not None else None


def _rearranged(order: Order, split: Sequence[int], axes: Sequence[int], joined: Sequence[int]) -> Order | None:
    apart = regrouped(order, split)
    return None if apart is None else regrouped(permuted(apart, axes), joined)


def _before(skeleton: Skeleton, node: Node, source: str, order: Order) -> Order | None:
    shape = skeleton.shape(source)
    if node.kind == "transpose":
        axes = node.permutation(len(order))
        return None if axes is None else permuted(order, _inverse(axes))
    if node.kind == "depth_to_space":
        steps = _blocks(skeleton, node)
        if steps is None or shape is None:
            return None
        split, axes, _ = steps
        return _rearranged(order, [split[axis] for axis in axes], _inverse(axes), shape)
    return None if shape is None else regrouped(order, shape)


def _inverse(axes: Sequence[int]) -> list[int]:
    return [axes.index(place) for place in range(len(axes))]
