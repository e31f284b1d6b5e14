"""Constants that a TFLite file stores in sparse form, made dense as its DENSIFY operator does.

The format is that of TACO: the axes of the tensor, some of them split into blocks, are walked in a traversal order;
each is dense, or compressed (CSR) into segments of indices.
"""

from __future__ import annotations

import math

import numpy as np

from aligner.adapters.tflite_adapter.flatbuffer import Table, damaged
from aligner.adapters.tflite_adapter.schema import Tensor, element_count
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_COMPRESSED = 1
_INDEX_TYPES = {1: "i", 2: "H", 3: "B"}
"""The union SparseIndexVector: vectors of int32, uint16, uint8."""
_LARGEST = 1 << 31
"""Elements of one constant from which a file's claim is not believed."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """``segments`` and ``indices`` are None where the axis is dense."""

    size: int
    segments: Array | None
    indices: Array | None


def densified(stored: Array, tensor: Tensor) -> Array:
    """The dense tensor. Raises ModelFormatError where the description does not hold together."""
    table = tensor.table.table(6)
    if table is None:
        raise _broken(tensor, "it has no description")
    order, block_map = table.numbers(0, "i"), table.numbers(1, "i")
    axes = [_axis(dimension) for dimension in table.tables(2)]
    rank = len(tensor.shape)
    if sorted(order) != list(range(len(axes))) or len(axes) != rank + len(block_map):
        raise _broken(tensor, f"{len(axes)} axes, {len(block_map)} of them blocks, in the order {order}")
    if any(not 0 <= axis < rank for axis in block_map) or element_count(tensor.shape) > _LARGEST:
        raise _broken(tensor, f"blocks of the axes {block_map} of a tensor of {rank}")
    places = _places(tensor, axes)
    if len(places) != stored.size:
        raise _broken(tensor, f"{stored.size} elements for {len(places)} places")
    blocks = {rank + number: axes[order.index(rank + number)].size for number in range(len(block_map))}
    index = _in_tensor(places[:, np.argsort(order)], rank, block_map, blocks)
    if index.size and bool(((index < 0) | (index >= np.asarray(tensor.shape))).any()):
        raise _broken(tensor, "an element lies outside its shape")
    dense: Array = np.zeros(tensor.shape, stored.dtype)
    dense[tuple(index.T)] = stored
    return dense


def _axis(table: Table) -> _Axis:
    if table.scalar(0, "b") != _COMPRESSED:
        return _Axis(table.scalar(1, "i"), None, None)
    return _Axis(table.scalar(1, "i"), _numbers(table, 2), _numbers(table, 4))


def _numbers(table: Table, field: int) -> Array:
    layout = _INDEX_TYPES.get(table.scalar(field, "B"))
    vector = table.table(field + 1)
    if layout is None or vector is None:
        raise damaged("an axis of a sparse constant has no indices")
    return np.asarray(vector.numbers(0, layout), dtype=np.int64)


def _places(tensor: Tensor, axes: list[_Axis]) -> Array:
    """One row for each stored element: its index along every axis, in traversal order."""
    rows: Array = np.zeros((1, 0), dtype=np.int64)
    position: Array = np.zeros(1, dtype=np.int64)
    for axis in axes:
        if axis.segments is None or axis.indices is None:
            if axis.size < 0 or len(rows) * max(axis.size, 1) > 2 * math.prod((*tensor.shape, 1)) + 1:
                raise _broken(tensor, f"an axis of {axis.size}")
            counts, found = np.full(len(rows), axis.size), np.tile(np.arange(axis.size), len(rows))
            position = np.repeat(position * axis.size, axis.size) + found
        else:
            if position.size and int(position.max()) + 1 >= axis.segments.size:
                raise _broken(tensor, "segments end too early")
            begin, end = axis.segments[position], axis.segments[position + 1]
            if bool((end < begin).any()) or bool((begin < 0).any()) or bool((end > axis.indices.size).any()):
                raise _broken(tensor, "segments out of order")
            counts = end - begin
            position = np.concatenate([np.arange(a, b) for a, b in zip(begin, end, strict=True)] or [position[:0]])
            found = axis.indices[position]
        rows = np.concatenate([np.repeat(rows, counts, axis=0), found[:, None]], axis=1)
    return rows


def _in_tensor(rows: Array, rank: int, block_map: tuple[int, ...], blocks: dict[int, int]) -> Array:
    index: Array = rows[:, :rank].copy()
    for number, axis in enumerate(block_map):
        index[:, axis] = index[:, axis] * blocks[rank + number] + rows[:, rank + number]
    return index


def _broken(tensor: Tensor, what: str) -> Exception:
    return damaged(f'the sparse constant {tensor.index} "{tensor.name}": {what}')
