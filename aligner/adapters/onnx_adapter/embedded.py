"""A serialised model read without its large weights: each is left where it lies in the file.

Knows as much of the protocol buffers' wire format as it takes to step over fields, and of ONNX the four fields on the
way to a weight's bytes. What is read is an ordinary ModelProto whose large weights are external data of its own file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

LARGE = 1 << 16
"""Bytes from which on a weight stays in the file."""
_WORTHWHILE = 1 << 22
"""Bytes of a file from which on it is read this way."""
_MOST_FIELDS = 64
"""Fields of a tensor: a name, a type, a size for each axis, the bytes."""
_GRAPH, _INITIALIZER, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 7, 5, 9, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _MalformedError(Exception):
    """What is read is no sequence of fields."""


@dataclass(frozen=True, slots=True)
class _Field:
    """``start`` to ``end`` with its tag; its content begins at ``content``."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def read_without_weights(path: Path) -> Any | None:
    """The ModelProto; None where there is nothing to gain, or the file is better left to the real parser.

    Raises OSError, and DecodeError where the rest of the file is no ModelProto.
    """
    import onnx

    if path.stat().st_size < _WORTHWHILE:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            whole = list(_fields(data, 0, len(data)))
            parts = [
                _message(_GRAPH, _thin_graph(data, field, path.name))
                if field.number == _GRAPH and field.kind == _BYTES
                else data[field.start : field.end]
                for field in whole
            ]
        except (_MalformedError, IndexError):
            return None
    model = onnx.ModelProto()
    model.ParseFromString(b"".join(parts))
    return model


def _thin_graph(data: mmap.mmap, graph: _Field, location: str) -> bytes:
    parts = []
    begun = graph.content
    for field in _fields(data, graph.content, graph.end):
        if field.number != _INITIALIZER or field.kind != _BYTES or field.end - field.content < LARGE:
            continue
        thin = _thin_tensor(data, field, location)
        if thin is not None:
            parts += [data[begun : field.start], _message(_INITIALIZER, thin)]
            begun = field.end
    return b"".join((*parts, data[begun : graph.end]))


def _thin_tensor(data: mmap.mmap, tensor: _Field, location: str) -> bytes | None:
    """The tensor with the place of its bytes instead of them; None where it does not hold them in one piece."""
    import onnx

    fields = list(islice(_fields(data, tensor.content, tensor.end), _MOST_FIELDS + 1))
    if len(fields) > _MOST_FIELDS:  # numbers one by one
        return None
    raw = [field for field in fields if field.number == _RAW_DATA and field.kind == _BYTES]
    if len(raw) != 1 or any(field.number in (_EXTERNAL_DATA, _DATA_LOCATION) for field in fields):
        return None
    place = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    length = raw[0].end - raw[0].content
    for key, value in (("location", location), ("offset", raw[0].content), ("length", length)):
        place.external_data.add(key=key, value=str(value))
    kept = [data[field.start : field.end] for field in fields if field is not raw[0]]
    return b"".join((*kept, place.SerializeToString()))


def _message(number: int, content: bytes) -> bytes:
    size, prefix = len(content), bytearray((number << 3 | _BYTES,))
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + content


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        tag, content = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, stop = _varint(data, content)
        elif kind == _BYTES:
            size, content = _varint(data, content)
            stop = content + size
        elif kind in (_FIXED64, _FIXED32):
            stop = content + (8 if kind == _FIXED64 else 4)
        else:
            raise _MalformedError
        if stop > end:
            raise _MalformedError
        yield _Field(tag >> 3, kind, at, content, stop)
        at = stop


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """The number that stands there, and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise _MalformedError
