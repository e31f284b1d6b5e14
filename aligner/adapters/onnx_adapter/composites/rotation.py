"""Rotary position embeddings: pairs of numbers turned by the angle of their place."""

from __future__ import annotations

import numpy as np

from aligner.adapters.onnx_adapter.composites.given import Given
from aligner.adapters.onnx_adapter.composites.heads import Heads
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.operations.operation import Unsupported
from aligner.records.dataclass import dataclass


def half_width(given: Given, place: int) -> int:
    """The length of a row of cosines: half of what is turned."""
    size = given.shape(place)[-1]
    if size is None:
        raise Unsupported("tables of a size that is not known")
    return size


def rows_of(write: Writer, positions: str, start: str, turned: str) -> str:
    """Which rows of the tables a tensor [batch, heads, length, width] takes: as told, or in order from a number on."""
    if positions:
        return positions
    length = write("Gather", write("Shape", turned), write.constant(np.asarray(2)))
    counted = write("Range", start, write("Add", start, length), write.constant(np.asarray(1)))
    return write("Unsqueeze", counted, write.integers((0,)))


def picked(write: Writer, given: Given, place: int, rows: str) -> tuple[str, str]:
    """Cosines and sines [batch, length, half], of those rows where their tables have rows to pick."""
    cosines, sines = (write("Gather", given[at], rows, axis=0) if rows else given[at] for at in (place, place + 1))
    return cosines, sines


@dataclass(frozen=True)
class Rotation:
    """Pairs of numbers of each head turned by their place's angle: the first ``turned`` ones of ``width``."""

    write: Writer
    tables: tuple[str, str]
    turned: int
    width: int

    def __call__(self, name: str, *, in_turn: bool) -> str:
        """Of [batch, heads, length, width]; a pair is two neighbours where ``in_turn``, else one of either half."""
        write, half, rest = self.write, self.turned // 2, ""
        if self.turned < self.width:
            sizes = write.integers((self.turned, self.width - self.turned))
            name, rest = write.several("Split", 2, name, sizes, axis=-1)
        if in_turn:
            paired = write("Reshape", name, write.integers((0, 0, 0, half, 2)))
            parts = write.several("Split", 2, paired, write.integers((1, 1)), axis=-1)
            left, right = (write("Squeeze", part, write.integers((-1,))) for part in parts)
        else:
            left, right = write.several("Split", 2, name, write.integers((half, half)), axis=-1)
        cosine, sine = (write("Unsqueeze", table, write.integers((1,))) for table in self.tables)
        ends = (
            write("Sub", write("Mul", left, cosine), write("Mul", right, sine)),
            write("Add", write("Mul", left, sine), write("Mul", right, cosine)),
        )
        if in_turn:
            stacked = write("Concat", *(write("Unsqueeze", end, write.integers((-1,))) for end in ends), axis=-1)
            whole = write("Reshape", stacked, write.integers((0, 0, 0, -1)))
        else:
            whole = write("Concat", *ends, axis=-1)
        return write("Concat", whole, rest, axis=-1) if rest else whole


def rotary(write: Writer, given: Given) -> tuple[str, ...]:
    """com.microsoft: input, position_ids [1] or [batch, length], cos_cache, sin_cache [rows, half]."""
    given.refuse("is_packed_batching")
    start = ""
    if given.shape(1) in ((), (1,)):
        start = write("Reshape", given[1], write.constant(np.zeros(0, np.int64)))
    return _rotated(write, given, 2, "" if start else given[1], start)


def standard_rotary(write: Writer, given: Given) -> tuple[str, ...]:
    """ONNX's: X, cos_cache, sin_cache, position_ids; without these the tables are [batch, length, half]."""
    return _rotated(write, given, 1, given[3], "")


def _rotated(write: Writer, given: Given, tables: int, positions: str, start: str) -> tuple[str, ...]:
    """Of an input [batch, heads, length, width], or with its heads side by side."""
    heads, turned, side_by_side = Heads(write, given), 2 * half_width(given, tables), len(given.shape(0)) == 3
    size = given.shape(0)[-1]
    if size is None:
        raise Unsupported("heads whose width is not known")
    count = heads.count or size // turned
    name = heads.apart(given[0], count) if side_by_side else given[0]
    rows = rows_of(write, positions, start, name) if positions or start else ""
    rotation = Rotation(write, picked(write, given, tables, rows), turned, size // count if side_by_side else size)
    result = rotation(name, in_turn=bool(given.number("interleaved", 0)))
    return (heads.together(result) if side_by_side else result,)
