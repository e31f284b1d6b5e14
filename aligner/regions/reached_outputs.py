"""Layers of which a part alone reaches the end of a region: queries of all that a matrix projects, one direction."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from aligner.operations.kinds import LINEAR
from aligner.operations.operation import Operation, Unsupported
from aligner.operations.settings import Recurrent
from aligner.parameters.folding import output_axis
from aligner.records.array import Array
from aligner.regions.culprit import Culprit
from aligner.regions.folding import Layer, channel_axis
from aligner.regions.subgraph import Change, change_node

_WHOLE = 0.1
"""How far from a whole number the place of an output may come out: half of one would still say which it is."""
_ROLES = frozenset({"kernel", "bias"})


def narrowed(culprit: Culprit, reference: Layer, candidate: Layer) -> tuple[Layer, Layer] | None:
    """Both layers cut to the outputs that the region's end holds, in one order; None where that cannot be told.

    Asked of layers of one kind that read as many inputs and make other numbers of outputs, or go in other directions.
    """
    layers = reference, candidate
    if reference.operation.kind != candidate.operation.kind:
        return None
    if reference.operation.kind == "recurrent":
        return _of_one_direction(culprit, layers)
    if not all(map(_can_be_cut, layers)):
        return None
    axis = output_axis(candidate.operation, candidate.parameters["kernel"]) or 0
    shapes = [list(layer.parameters["kernel"].shape) for layer in layers]
    counts = [shape.pop(axis) for shape in shapes if len(shape) > axis]
    if shapes[0] != shapes[1] or len(set(counts)) != 2:
        return None
    places = [_places(culprit, side, layer) for side, layer in enumerate(layers)]
    if places[0] is None or places[1] is None or places[0].shape != places[1].shape:
        return None
    both = np.unique(np.stack([places[0].reshape(-1), places[1].reshape(-1)]), axis=1)
    if any(np.unique(row).size != row.size for row in both):
        return None  # an output of one side is several of the other's
    return _cut(reference, axis, both[0]), _cut(candidate, axis, both[1])


def _of_one_direction(culprit: Culprit, layers: tuple[Layer, Layer]) -> tuple[Layer, Layer] | None:
    counts = [len(layer.operation.read(Recurrent).directions) for layer in layers]
    if counts[0] == counts[1]:
        return None
    reached = [
        _directions(culprit, side, layer, count) if count > 1 else [0]
        for side, (layer, count) in enumerate(zip(layers, counts, strict=True))
    ]
    if any(len(each) != 1 for each in reached):
        return None
    return _cut(layers[0], 0, np.asarray(reached[0])), _cut(layers[1], 0, np.asarray(reached[1]))


def _directions(culprit: Culprit, side: int, layer: Layer, count: int) -> list[int]:
    """The directions without whose weights the region's end is another; none where it cannot be computed."""
    subgraph, found = culprit.subgraphs[side], []
    try:
        plain = subgraph.replay(change_node(layer.node, lambda operation: operation))
        for direction in range(count):
            without = partial(_without, direction=direction)
            if not np.array_equal(plain, subgraph.replay(change_node(layer.node, without))):
                found.append(direction)
    except Unsupported:
        return []
    return found


def _without(operation: Operation, direction: int) -> Operation:
    """A cell that gets nothing of its input in one direction."""
    changed = operation.parameters["w"].copy()
    changed[direction] = 0
    return operation.with_parameters(w=changed)


def _can_be_cut(layer: Layer) -> bool:
    return layer.operation.kind in LINEAR and "kernel" in layer.parameters and layer.parameters.keys() <= _ROLES


def _cut(layer: Layer, axis: int, places: Array) -> Layer:
    parameters = {role: array.take(places, axis if role == "kernel" else 0) for role, array in layer.parameters.items()}
    return replace(layer, parameters=parameters, places=places, whole=layer.parameters)


def _places(culprit: Culprit, side: int, layer: Layer) -> Array | None:
    """Which output of a layer each element at the region's end is, in the reference's order.

    What lies between may move elements and multiply or add to each: then the ends for outputs of 0, of 1 and of their
    own numbers tell. None where it does more than that.
    """
    subgraph = culprit.subgraphs[side]
    shape, axis = subgraph.shape(layer.node.outputs[0]), channel_axis(subgraph, layer)
    if shape is None or None in shape or axis is None:
        return None
    known = tuple(size or 0 for size in shape)
    along = [-1 if place == axis else 1 for place in range(len(known))]
    ends = []
    for row in (np.zeros(1), np.ones(1), np.arange(1.0, known[axis] + 1)):
        given = np.broadcast_to(row.reshape(along), known)
        try:
            end = culprit.in_order(subgraph.replay(Change(arrays={layer.node.outputs[0]: given})), side)
        except Unsupported:
            return None
        if end is None or end.dtype.kind != "f":
            return None
        ends.append(end.astype(np.float64))
    with np.errstate(all="ignore"):
        found = (ends[2] - ends[0]) / (ends[1] - ends[0]) - 1
        told = np.isfinite(found).all() and np.abs(found - np.round(found)).max(initial=0) <= _WHOLE
    if not told or not found.size or found.min() < -_WHOLE or found.max() > known[axis] - 1 + _WHOLE:
        return None
    return np.round(found).astype(np.int64)
