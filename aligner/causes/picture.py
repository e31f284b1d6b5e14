"""The picture that a model is fed, followed for as long as it is one: scaled, padded and turned, and not yet mixed."""

from __future__ import annotations

from aligner.operations.kinds import CHANNELS_APART
from aligner.records.graph import Node
from aligner.regions.folding import MOVES_AXES, moved_axis
from aligner.regions.subgraph import Subgraph

_FEWEST, _MOST = 2, 4
"""Channels of what counts as a picture."""
_FURTHEST = 32
"""Nodes between the graph's input and a tensor that may still be the picture."""


def channel_axis(subgraph: Subgraph, name: str) -> int | None:
    """The axis of a picture's channels in a value; None where the value is no picture, or no longer one."""
    path: list[Node] = []
    while name not in subgraph.graph.inputs:
        node = subgraph.graph.producer(name)
        varying = {value for value in node.inputs if value and subgraph.varies(value)} if node is not None else set()
        if node is None or node.kind not in CHANNELS_APART | MOVES_AXES or len(varying) != 1 or len(path) == _FURTHEST:
            return None
        path.append(node)
        name = varying.pop()
    shape = subgraph.shape(name)
    axis = None if shape is None else _declared(shape, subgraph.graph.channels)
    channels = shape[axis] if shape is not None and axis is not None else None
    for node in reversed(path):
        axis = moved_axis(subgraph, node, axis) if node.kind in MOVES_AXES else axis
        after = subgraph.shape(node.outputs[0])
        if axis is None or (after is not None and (axis >= len(after) or after[axis] != channels)):
            return None
    return axis


def _declared(shape: tuple[int | None, ...], channels: str) -> int | None:
    """Where the channels of an input lie: where the graph has them, else at the other end, as the picture came."""
    if len(shape) < 3:
        return None
    ends = (len(shape) - 1, 1) if channels == "last" else (1, len(shape) - 1)
    found = [axis for axis in ends if _FEWEST <= (shape[axis] or 0) <= _MOST]
    return found[0] if found else None
