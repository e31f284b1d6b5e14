"""Raw files whose rows are filled up to whole vectors, as DSPs keep pictures: which rows, by the sizes of all files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aligner.adapters.dumps.dump import Dump, DumpedTensor, size_of
from aligner.adapters.dumps.layout import BLOCKS, FIRST, LAST, Channels, Order, arranged
from aligner.adapters.dumps.names import match
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph

_PICTURE = 4
"""Axes of a picture: samples, channels, height, width; only these have rows that hardware fills up."""
_WIDTHS = (4, 2, 1)
"""Bytes of a number."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of pictures in that order are filled up to a multiple of ``block`` numbers of ``width`` bytes."""

    order: Order
    block: int
    width: int

    def bytes_of(self, shape: tuple[int, ...], channels: Channels) -> tuple[int, int, int]:
        """How many rows a tensor has, the bytes of one, and those that it takes."""
        if len(shape) != _PICTURE:
            return 1, size_of(shape) * self.width, size_of(shape) * self.width
        axes = arranged(shape, channels, self.order)
        row = size_of(axes[3:] if self.order == FIRST else axes[2:])
        filled = -(-row // self.block) * self.block
        return size_of(axes) // max(1, row), row * self.width, filled * self.width


class Unpadded(Dump):
    """A dump without what its rows are filled up with."""

    def __init__(self, dump: Dump, graph: Graph, rows: Rows, shapes: dict[int, tuple[int, ...]]) -> None:
        super().__init__(dump.path)
        self.writer, self._dump = dump.writer, dump
        said = (
            f"rows of pictures in the dump are filled up to multiples of {rows.block} numbers; the filling was left out"
        )
        self.notes = (*dump.notes, said)
        self._rows = {place: rows.bytes_of(shape, graph.channels) for place, shape in shapes.items()}
        self.tensors = tuple(
            replace(tensor, nbytes=self._rows[place][0] * self._rows[place][1]) if place in self._rows else tensor
            for place, tensor in enumerate(dump.tensors)
        )

    def read(self, place: int) -> Array:
        """The bytes of a tensor's own numbers."""
        array = self._dump.read(place)
        if place not in self._rows:
            return array
        count, own, filled = self._rows[place]
        return np.ascontiguousarray(array.reshape(count, filled)[:, :own]).ravel()

    def close(self) -> None:
        """Release the files."""
        self._dump.close()


def unpadded(dump: Dump, graph: Graph) -> Dump | None:
    """The dump without filled rows; None where its files do not all have the sizes that one filling gives.

    Where no file is larger than its tensor nothing is filled up, whatever would explain it too.
    """
    if any(tensor.shape is not None or tensor.nbytes is None for tensor in dump.tensors):
        return None
    shapes = dict(_shapes(dump, graph))
    pictures = [place for place, shape in shapes.items() if len(shape) == _PICTURE]
    for rows in (Rows(order, block, width) for width in _WIDTHS for block in BLOCKS for order in (FIRST, LAST)):
        sizes = {place: rows.bytes_of(shape, graph.channels) for place, shape in shapes.items()}
        if all(count * filled == dump.tensors[place].nbytes for place, (count, _, filled) in sizes.items()) and any(
            sizes[place][1] < sizes[place][2] for place in pictures
        ):
            return Unpadded(dump, graph, rows, shapes)
    return None


def _shapes(dump: Dump, graph: Graph) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The shapes of tensors by their names alone, whose numbers are the run's own."""
    bare: list[DumpedTensor] = [replace(tensor, nbytes=None) for tensor in dump.tensors]
    for value, place in match(bare, graph).places.items():
        shape = graph.values[value].shape
        if shape is not None and graph.varies(value):
            sizes = tuple(size for size in shape if size is not None)
            if len(sizes) == len(shape):
                yield place, sizes
