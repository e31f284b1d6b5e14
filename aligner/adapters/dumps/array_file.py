"""One .npz or .safetensors file of named tensors, by whatever program."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aligner.adapters.dumps.dump import Dump, DumpedTensor
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.recording_adapter.document import RecordedTensor
    from aligner.adapters.recording_adapter.file import ArrayFile

SUFFIXES = frozenset({".npz", ".safetensors"})


def recognises(path: Path) -> bool:
    """By suffix, or by content: a zip archive of arrays."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def open_dump(path: Path) -> Dump:
    """The tensors in the order of the file."""
    from aligner.adapters.recording_adapter.file import open_file

    return plain_dump(open_file(path))


def plain_dump(file: ArrayFile) -> Dump:
    """The tensors of an open file, in its order."""
    tensors = {}
    for name, entry in file.entries.items():
        dtype = "string" if entry.dtype.kind == "U" else entry.dtype.name if entry.wide else "bfloat16"
        tensors[name] = DumpedTensor(name, entry.shape, dtype)
    return ArrayFileDump(file, f"a {file.path.suffix or 'zip'} file of tensors", tensors)


def recorded_dump(file: ArrayFile, recorded: Sequence[RecordedTensor]) -> Dump:
    """A recording of align capture, read as a dump of another model than the one that it describes."""
    tensors = {
        one.entry: DumpedTensor(one.value, file.entries[one.entry].shape, one.dtype, quantization=one.quantization)
        for one in recorded
        if one.occurrence == 0
    }
    return ArrayFileDump(file, "a recording", tensors)


class ArrayFileDump(Dump):
    """Tensors of one file, by the entries that hold them, read one by one."""

    def __init__(self, file: ArrayFile, writer: str, tensors: Mapping[str, DumpedTensor]) -> None:
        super().__init__(file.path)
        self._file, self.writer = file, writer
        self._entries, self.tensors = list(tensors), tuple(tensors.values())

    def read(self, place: int) -> Array:
        """One array, read-only; strings as an object array."""
        return self._file.read(self._entries[place])

    def close(self) -> None:
        """Release the file."""
        self._file.close()
