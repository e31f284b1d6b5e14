"""Convolutions over pieces of an image as a batch: space to batch, a plain convolution, batch to space.

So a dilated convolution is spelled where a runtime has none, as operators of that name or as paddings, reshapes and
transpositions. What answers the other side's one operation is the whole: from before the pieces are cut to after they
are joined.
"""

from __future__ import annotations

from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import CONVOLUTIONS, MOVES_DATA
from aligner.records.graph import Node

_STEPS = 12
"""Moves that cut a tensor into a batch or join it again: TensorFlow's dilation by batches takes three of each."""


def whole_input(skeleton: Skeleton, node: Node, value: str, other: Skeleton, answer: str) -> str:
    """What was cut into the batch that a convolution reads, where the other side reads it whole; else the value."""
    if node.kind not in CONVOLUTIONS or not _more_batches(skeleton, value, other, answer):
        return value
    name = value
    for _ in range(_STEPS):
        maker = skeleton.producer.get(name)
        data = skeleton.data_inputs(maker) if maker is not None and maker.kind in MOVES_DATA else []
        if len(data) != 1:
            return value
        name = data[0]
        if _fits(skeleton, name, other, answer):
            return name
    return value


def whole_output(skeleton: Skeleton, node: Node, value: str, other: Skeleton, answer: str) -> str:
    """What a convolution's output is joined into again, where the other side computes it whole; else the value."""
    if node.kind not in CONVOLUTIONS or not _more_batches(skeleton, value, other, answer):
        return value
    name = value
    for _ in range(_STEPS):
        readers = skeleton.graph.readers(name)
        if len(readers) != 1 or readers[0].kind not in MOVES_DATA or len(skeleton.data_inputs(readers[0])) != 1:
            return value
        name = readers[0].outputs[0]
        if _fits(skeleton, name, other, answer):
            return name
    return value


def _more_batches(skeleton: Skeleton, value: str, other: Skeleton, answer: str) -> bool:
    """Whether a tensor is one of several pieces for each of the other side's."""
    shapes = skeleton.shape(value), other.shape(answer)
    if not shapes[0] or not shapes[1] or len(shapes[0]) != len(shapes[1]):
        return False
    return shapes[0][0] > shapes[1][0] > 0 and shapes[0][0] % shapes[1][0] == 0


def _fits(skeleton: Skeleton, value: str, other: Skeleton, answer: str) -> bool:
    """Whether a tensor has the sizes of another, in whichever order."""
    shapes = skeleton.shape(value), other.shape(answer)
    if not shapes[0] or not shapes[1] or shapes[0][0] != shapes[1][0]:
        return False
    return sorted(shapes[0]) == sorted(shapes[1])
