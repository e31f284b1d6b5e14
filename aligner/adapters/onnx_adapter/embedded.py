"""A serialised model read without its large weights: each is left where it lies in the file.

Knows as much of the protocol buffers' wire format as it takes to step over fields, and of ONNX the four fields on the
way to a weight's bytes. What is read is an ordinary ModelProto whose large weights are said to lie in ``HERE``.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.errors import ModelFormatError
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HERE = f"the model's own file {os.urandom(8).hex()}"
"""What stands for the location of external data; no file can name it."""

LARGE = 1 << 16
"""Bytes from which on a weight stays in the file."""
_WORTHWHILE = 1 << 22
"""Bytes of a file from which on it is read this way."""
_MOST_FIELDS = 64
"""Fields of a tensor: a name, a type, a size for each axis, the bytes."""
_MOST_PARTS = 1 << 17
"""Fields of a model or a graph; stepping over more takes Python longer than the real parser takes for all."""
_GRAPH, _INITIALIZER, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 7, 5, 9, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _MalformedError(Exception):
    """What is read is no sequence of fields, or one that is too long."""


@dataclass(frozen=True, slots=True)
class _Field:
    """``start`` to ``end`` with its tag; its content begins at ``content``."""

    number: int
    kind: int
    start: int
    content: int
    end: int


class OwnFile:
    """The model's file, kept open: it may be moved or deleted while it is compared, but not written to."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._lock = path, path.open("rb"), threading.Lock()
        self._stamp = self._state()

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._stamp[0]

    def mapped(self) -> mmap.mmap:
        """The whole file, mapped; the caller closes it."""
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, offset: int, length: int) -> NDArray[np.uint8]:
        """Bytes of the file in memory of their own. Raises ModelFormatError where the file was written to."""
        import numpy as np

        if offset < 0 or length < 0 or offset + length > self.size:
            raise ModelFormatError(
                f"a weight of {self._path} lies outside the file",
                found=f"bytes {offset} to {offset + length} of {self.size}",
                hint="export the model again",
            )
        found = np.empty(length, np.uint8)
        with self._lock:
            self._file.seek(offset)
            count = self._file.readinto(found.data)
            if count != length or self._state() != self._stamp:
                raise ModelFormatError(
                    f"{self._path} was written to while it was compared",
                    found=f"{self._state()[0]} bytes, {self.size} when it was opened",
                    hint="compare again when nobody writes to it",
                )
        return found


def read_without_weights(path: Path) -> tuple[Any, OwnFile] | None:
    """The ModelProto and its file; None where there is nothing to gain, or the file is better left to the real parser.

    Raises OSError, and DecodeError where the rest of the file is no ModelProto.
    """
    import onnx

    own = OwnFile(path)
    if own.size < _WORTHWHILE:
        return None
    with own.mapped() as data:
        try:
            thin = _thin_model(data)
        except (_MalformedError, IndexError):
            return None
    model = onnx.ModelProto()
    model.ParseFromString(thin)
    return model, own


def _thin_model(data: mmap.mmap) -> bytes:
    parts, begun = [], 0
    for field in _fields(data, 0, len(data)):
        if field.number == _GRAPH and field.kind == _BYTES:
            parts += [data[begun : field.start], _message(_GRAPH, _thin_graph(data, field))]
            begun = field.end
    return b"".join((*parts, data[begun:]))


def _thin_graph(data: mmap.mmap, graph: _Field) -> bytes:
    parts = []
    begun = graph.content
    for field in _fields(data, graph.content, graph.end):
        if field.number != _INITIALIZER or field.kind != _BYTES or field.end - field.content < LARGE:
            continue
        thin = _thin_tensor(data, field)
        if thin is not None:
            parts += [data[begun : field.start], _message(_INITIALIZER, thin)]
            begun = field.end
    return b"".join((*parts, data[begun : graph.end]))


def _thin_tensor(data: mmap.mmap, tensor: _Field) -> bytes | None:
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
    for key, value in (("location", HERE), ("offset", raw[0].content), ("length", length)):
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
    for _ in range(_MOST_PARTS):
        if at >= end:
            return
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
    raise _MalformedError


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
