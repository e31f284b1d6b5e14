"""Read files of named arrays, one array at a time: .npz and .safetensors."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.free_memory import available
from aligner.records.regular_file import LARGEST_TEXT

SUFFIXES = (".npz", ".safetensors")
DOCUMENT = "__aligner__"
"""The entry, or the metadata key, that holds the description."""
_HEADER_LIMIT = 100_000_000
"""What reading a damaged archive raises."""
LAYOUTS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}
"""safetensors' words for types, and numpy's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An array of a file, as its header describes it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int = 0
    """safetensors: where its bytes begin in the file. npz: where they begin in the entry."""
    fortran: bool = False
    wide: bool = True
    """False for bfloat16, whose 16 bits are the upper half of a float32."""

    @property
    def nbytes(self) -> int:
        """How many bytes it takes in the file."""
        return math.prod(self.shape) * (self.dtype.itemsize if self.wide else 2)


class ArrayFile(ABC):
    """A file of named arrays; ``entries`` in the order of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: Mapping[str, Entry] = {}
        self.document: str | None = None

    @abstractmethod
    def _bytes(self, name: str) -> bytes: ...

    @abstractmethod
    def close(self) -> None:
        """Release the file; a later read opens it again."""

    def read(self, name: str) -> Array:
        """One array, read-only; strings as an object array.

        Raises ModelFormatError where the file has changed or is damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise damaged_file(self.path, f'its description names "{name}", which is not there')
        if entry.nbytes > available():
            raise damaged_file(self.path, f'"{name}" takes {entry.nbytes:,} bytes, more than are free')
        content = self._guarded(name)
        if len(content) != entry.nbytes:
            raise damaged_file(self.path, f'"{name}" ends early')
        if not entry.wide:
            array: Array = (np.frombuffer(content, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            array = np.frombuffer(content, entry.dtype)
        array = array.reshape(entry.shape[::-1]).T if entry.fortran else array.reshape(entry.shape)
        array = np.array(array.astype(object) if array.dtype.kind == "U" else array, order="C")
        array.flags.writeable = False
        return array

    def _guarded(self, name: str) -> bytes:
        try:
            return self._bytes(name)
        except Exception as error:  # as above
            raise damaged_file(self.path, f'"{name}": {error}') from error


def damaged_file(path: Path, found: str) -> ModelFormatError:
    """The error of a file that is not what its name says."""
    return ModelFormatError(
        f"{path} is no readable file of tensors", found=found, hint="write the recording again, or copy it again"
    )


def open_file(path: Path) -> ArrayFile:
    """Read the headers of every array; the arrays themselves are read when asked for."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        return _NpzFile(path) if zipped or path.suffix.lower() == ".npz" else _SafetensorsFile(path)
    except ModelFormatError:
        raise
    except Exception as error:  # a damaged file shows as anything, from OSError to tokenize's own error of a header
        raise damaged_file(path, getattr(error, "strerror", None) or str(error)) from error


class _NpzFile(ArrayFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._archive: zipfile.ZipFile | None = None
        with zipfile.ZipFile(path) as archive:
            found = {}
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    found[info.filename.removesuffix(".npy")] = self._entry(archive, info)
            if not found:
                raise damaged_file(path, f"a zip archive of {len(archive.infolist())} files, none of them an array")
        document = found.pop(DOCUMENT, None)
        self.entries = found
        if document is not None and document.nbytes > LARGEST_TEXT:
            raise damaged_file(path, f"its description alone takes {document.nbytes:,} bytes")
        if document is not None:
            self.entries = {DOCUMENT: document}
            text = self.read(DOCUMENT).tolist()
            self.document = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else str(text)
            self.entries = found

    def _entry(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            start = file.tell()
        if dtype.hasobject:
            raise damaged_file(self.path, f'"{info.filename}" holds Python objects, which only unpickling could read')
        entry = Entry(shape, dtype, start, fortran)
        if any(size < 0 for size in shape) or start + entry.nbytes != info.file_size:
            raise damaged_file(
                self.path, f'"{info.filename}" is {info.file_size} bytes long, its header says otherwise'
            )
        return entry

    def _bytes(self, name: str) -> bytes:
        if self._archive is None:  # kept open: its directory is long
            self._archive = zipfile.ZipFile(self.path)
        with self._archive.open(f"{name}.npy") as file:
            file.seek(self.entries[name].start)
            return file.read(self.entries[name].nbytes + 1)

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None


class _SafetensorsFile(ArrayFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(size - 8, _HEADER_LIMIT):
                raise damaged_file(path, f"{size} bytes; its header alone would take {length}")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise damaged_file(path, "its header is no table")
        metadata = header.pop("__metadata__", None)
        if isinstance(metadata, dict) and isinstance(metadata.get(DOCUMENT), str):
            self.document = metadata[DOCUMENT]
        found = {name: self._entry(name, entry, 8 + length, size) for name, entry in header.items()}
        self.entries = dict(sorted(found.items(), key=lambda item: item[1].start))

    def _entry(self, name: str, described: Any, base: int, size: int) -> Entry:
        try:
            begin, end = (int(offset) for offset in described["data_offsets"])
            shape = tuple(int(length) for length in described["shape"])
            word = described["dtype"]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged_file(self.path, f'"{name}" is not described ({error})') from error
        if word not in LAYOUTS and word != "BF16":
            raise damaged_file(self.path, f'"{name}" has the type {word}, which numpy lacks')
        entry = Entry(shape, np.dtype(LAYOUTS.get(word, "<f4")), base + begin, wide=word != "BF16")
        if begin < 0 or base + end > size or min(shape, default=0) < 0 or end - begin != entry.nbytes:
            raise damaged_file(self.path, f'"{name}" does not lie in the file as its header says')
        return entry

    def _bytes(self, name: str) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.entries[name].start)
            return file.read(self.entries[name].nbytes)

    def close(self) -> None:
        """Nothing is kept open."""
