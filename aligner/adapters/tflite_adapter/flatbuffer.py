"""Read and append to a flatbuffer that nobody vouches for: every access is checked against the file's length."""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Any

from aligner.errors import ModelFormatError
from aligner.records.dataclass import dataclass

_WIDEST_OFFSET = 0xFFFFFFFF
"""Offsets are 32 bits."""
_ALIGNMENT = 16
"""Bytes: TFLite's schema forces buffers to it (force_align: 16)."""
_READ_TIMES = 16
"""How often each byte may be read: writers share equal vectors, and our readers ask for some fields again."""


def damaged(what: str) -> ModelFormatError:
    """The error of a flatbuffer whose offsets lead nowhere."""
    return ModelFormatError(
        "the file is damaged: its flatbuffer does not hold together",
        found=what,
        hint="download or convert the model again; a truncated file looks like this",
    )


def unpack(data: bytes, layout: str, position: int) -> Any:
    """One little-endian number at an absolute position."""
    size = struct.calcsize(layout)
    if position < 0 or position + size > len(data):
        raise damaged(f"an offset leads to byte {position} of {len(data)}")
    return struct.unpack_from("<" + layout, data, position)[0]


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector's place: ``position`` is that of its first element."""

    position: int
    length: int


@dataclass(slots=True, eq=False)
class Reading:
    """How much was read of a file: offsets that lead many readers to one place could ask for work without end."""

    most: int
    count: int = 0
    options: dict[tuple[int, int], Any] = field(default_factory=dict)
    """What was made of an operator's options, by their kind and place."""

    def add(self, size: int) -> None:
        """Count bytes. Raises ModelFormatError beyond ``most``."""
        self.count += size
        if self.count > self.most:
            raise damaged(
                "its tables and vectors share their bytes so often that they stand for far more than it holds"
            )


@dataclass(frozen=True, slots=True)
class Table:
    """A table at an absolute position; fields are named by their number in the schema."""

    data: bytes
    position: int
    reading: Reading = field(compare=False, repr=False)

    @staticmethod
    def root(data: bytes) -> Table:
        """The table that the file's first offset leads to."""
        return Table(data, unpack(data, "I", 0), Reading(_READ_TIMES * len(data)))

    def field(self, number: int) -> int:
        """The absolute position of a field, 0 where it is absent."""
        vtable = self.position - unpack(self.data, "i", self.position)
        size, inline = unpack(self.data, "H", vtable), unpack(self.data, "H", vtable + 2)
        if size < 4 or vtable + size > len(self.data) or self.position + inline > len(self.data):
            raise damaged(f"the table at byte {self.position} reaches past the end")
        entry = 4 + 2 * number
        if entry + 2 > size:
            return 0
        offset = unpack(self.data, "H", vtable + entry)
        if offset >= inline and offset:
            raise damaged(f"field {number} of the table at byte {self.position} lies outside the table")
        return self.position + offset if offset else 0

    def scalar(self, number: int, layout: str, default: int = 0) -> int:
        """A number stored in the table itself."""
        place = self.field(number)
        return int(unpack(self.data, layout, place)) if place else default

    def table(self, number: int) -> Table | None:
        """The table that a field refers to."""
        place = self.field(number)
        if not place:
            return None
        child = Table(self.data, place + unpack(self.data, "I", place), self.reading)
        child.field(0)
        return child

    def vector(self, number: int, itemsize: int) -> Vector | None:
        """The vector that a field refers to; None where the field is absent."""
        place = self.field(number)
        if not place:
            return None
        start = place + unpack(self.data, "I", place)
        length = unpack(self.data, "I", start)
        if start + 4 + length * itemsize > len(self.data):
            raise damaged(f"a vector of {length} elements at byte {start} reaches past byte {len(self.data)}")
        self.reading.add(length * itemsize)
        return Vector(start + 4, length)

    def numbers(self, number: int, layout: str) -> tuple[Any, ...]:
        """A vector of numbers, () where it is absent."""
        vector = self.vector(number, struct.calcsize(layout))
        if vector is None:
            return ()
        return struct.unpack_from(f"<{vector.length}{layout}", self.data, vector.position)

    def text(self, number: int) -> str:
        """A string, "" where it is absent; bytes that are no UTF-8 are replaced."""
        vector = self.vector(number, 1)
        if vector is None:
            return ""
        return self.data[vector.position : vector.position + vector.length].decode("utf-8", errors="replace")

    def tables(self, number: int) -> list[Table]:
        """A vector of tables, [] where it is absent."""
        vector = self.vector(number, 4)
        if vector is None:
            return []
        places = range(vector.position, vector.position + 4 * vector.length, 4)
        return [Table(self.data, place + unpack(self.data, "I", place), self.reading) for place in places]


class Appender:
    """A copy of a flatbuffer that grows at its end; offsets only point forward, so fields can be led there."""

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)

    def append(self, content: bytes) -> int:
        """Add bytes at the next aligned position and return that position."""
        self._data.extend(bytes(-len(self._data) % _ALIGNMENT))
        position = len(self._data)
        self._data.extend(content)
        return position

    def append_integers(self, numbers: list[int]) -> int:
        """Add a vector of int32 and return the position of its length."""
        return self.append(struct.pack(f"<I{len(numbers)}i", len(numbers), *numbers))

    def repoint(self, field: int, target: int) -> None:
        """Let the offset stored at ``field`` lead to ``target``."""
        distance = target - field
        if not 0 < distance <= _WIDEST_OFFSET:
            raise damaged(f"byte {target} cannot be reached from byte {field}")
        self.write(field, "I", distance)

    def write(self, position: int, layout: str, number: int) -> None:
        """Overwrite one number."""
        struct.pack_into("<" + layout, self._data, position, number)

    def bytes(self) -> bytes:
        """The flatbuffer as it now is."""
        return bytes(self._data)
