"""Where the channels are: axis orders derived from what produces and reads a tensor, never from its numbers.

Convolutions, pooling, resizing and normalisations of channels know where their channels are (first in PyTorch and ONNX,
last in TFLite). That knowledge flows through elementwise nodes and is switched by transpositions. The axis order of a
pair follows from the labels of its two sides; shapes decide only where labels say nothing. Numbers are never asked: on
square or constant data the best of all permutations hides a real transposition.
"""

from __future__ import annotations

from collections import deque
from itertools import permutations

from aligner.alignment.folded_layer import normalisation
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import KEEPS_AXES, SPATIAL
from aligner.operations.settings import BatchNorm, GroupNorm, InstanceNorm
from aligner.records.graph import Node

_OF_CHANNELS = (BatchNorm, GroupNorm, InstanceNorm)


def channel_labels(skeleton: Skeleton) -> dict[str, str]:
    """Value id → "first" or "last" for tensors of rank 3 and more whose channel axis is known."""
    labels: dict[str, str] = {}
    queue: deque[str] = deque()

    def mark(value: str, label: str | None) -> None:
        if label and value and value not in labels and _rank(skeleton, value) >= 3:
            labels[value] = label
            queue.append(value)

    for node in skeleton.graph.nodes:
        label = _channels_of(skeleton, node)
        for value in (*skeleton.data_inputs(node)[:1], *node.outputs[:1]) if label else ():
            mark(value, label)
    while queue:
        value = queue.popleft()
        neighbours = [skeleton.producer[value]] if value in skeleton.producer else []
        for node in (*neighbours, *skeleton.graph.readers(value)):
            _spread(skeleton, node, value, labels[value], mark)
    return labels


def _channels_of(skeleton: Skeleton, node: Node) -> str | None:
    """Where a node takes the channels to be; None where it does not say."""
    if node.kind in SPATIAL:
        return str(node.attributes.get("channels") or skeleton.graph.channels)
    operation = normalisation(skeleton, node)
    rank = _rank(skeleton, node.outputs[0]) if operation is not None else 0
    if operation is None or rank < 3 or not isinstance(operation.settings, _OF_CHANNELS):
        return None
    return {1: "first", rank - 1: "last"}.get(operation.settings.axis % rank)


def _spread(skeleton: Skeleton, node: Node, value: str, label: str, mark: object) -> None:
    assert callable(mark)
    values = [*skeleton.data_inputs(node), *node.outputs]
    rank = _rank(skeleton, value)
    if node.kind in KEEPS_AXES or (node.kind == "reduce" and node.attributes.get("keepdims")):
        for other in values:
            if _rank(skeleton, other) == rank:
                mark(other, label)
    elif node.kind == "transpose":
        switched = _switched(node, value in node.outputs, label, rank)
        for other in values:
            if other != value:
                mark(other, switched)


def _switched(node: Node, backwards: bool, label: str, rank: int) -> str | None:
    perm = node.permutation(rank)
    if perm is None:
        return None
    if backwards:
        perm = tuple(perm.index(axis) for axis in range(rank))
    if perm == tuple(range(rank)):
        return label
    if perm == to_last(rank) and label == "first":
        return "last"
    if perm == to_first(rank) and label == "last":
        return "first"
    return None


def _rank(skeleton: Skeleton, value: str) -> int:
    shape = skeleton.shape(value)
    if shape is not None:
        return len(shape)
    declared = skeleton.graph.values[value].shape if value in skeleton.graph.values else None
    return len(declared) if declared is not None else 0


def to_last(rank: int) -> tuple[int, ...]:
    """``numpy.transpose`` axes from channels-first to channels-last: (0, 2, 3, 1) for rank 4."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """``numpy.transpose`` axes from channels-last to channels-first: (0, 3, 1, 2) for rank 4."""
    return (0, rank - 1, *range(1, rank - 1))


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without its axes of length one."""
    return tuple(dim for dim in shape if dim != 1)


def axes_between(
    reference: tuple[int, ...], candidate: tuple[int, ...], labels: tuple[str | None, str | None]
) -> tuple[bool, tuple[int, ...] | None]:
    """(comparable, axes) of a pair; axes None means the same order, up to axes of length one."""
    rank = len(reference)
    if rank == len(candidate) and rank >= 3 and None not in labels:
        if labels[0] == labels[1] and reference == candidate:
            return True, None
        if labels[0] != labels[1]:
            axes = to_last(rank) if labels[0] == "first" else to_first(rank)
            if tuple(reference[axis] for axis in axes) == candidate:
                return True, axes
    if reference == candidate or squeezed(reference) == squeezed(candidate):
        return True, None
    if sorted(squeezed(reference)) != sorted(squeezed(candidate)):
        return False, None
    return _by_shape(reference, candidate)


def _by_shape(reference: tuple[int, ...], candidate: tuple[int, ...]) -> tuple[bool, tuple[int, ...] | None]:
    rank = len(reference)
    for axes in (to_last(rank), to_first(rank)):
        if rank >= 3 and tuple(reference[axis] for axis in axes) == candidate:
            return True, axes
    if rank > 5:
        return False, None
    wanted = squeezed(candidate)
    fitting = [axes for axes in permutations(range(rank)) if squeezed(tuple(reference[a] for a in axes)) == wanted]
    distinct = {tuple(axis for axis in axes if reference[axis] != 1) for axes in fitting}
    return (True, fitting[0]) if len(distinct) == 1 else (False, None)
