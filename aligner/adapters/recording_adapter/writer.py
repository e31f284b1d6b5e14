"""Write files of named arrays, one array at a time, whole or not at all: .npz and .safetensors."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from aligner.adapters.recording_adapter.file import DOCUMENT, LAYOUTS, SUFFIXES
from aligner.errors import OutputError
from aligner.records.array import Array
from aligner.records.partial import partial_of

_WORDS = {np.dtype(layout): word for word, layout in LAYOUTS.items()}


class ArrayWriter(ABC):
    """A file that is being written."""

    @abstractmethod
    def add(self, name: str, array: Array) -> None:
        """Append one array; raises OutputError for a type that the format cannot hold."""

    @abstractmethod
    def finish(self, document: str | None) -> None:
        """Complete the file, with the text that describes its arrays."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open, finished or not."""


@contextmanager
def new_file(path: Path) -> Iterator[ArrayWriter]:
    """A writer for ``path`` by its suffix; the file appears whole when the block ends well, else not at all.

    Raises OutputError where the suffix is unknown or the file cannot be written; what the block raises goes through.
    """
    check_output(path)
    with _writing(path):
        final = Path(os.path.realpath(path))
        partial = partial_of(final)
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        file = partial.open("xb")
    try:
        with file:
            with _writing(path):
                writer = _NpzWriter(path, file) if path.suffix.lower() == ".npz" else _SafetensorsWriter(path, file)
            with closing(writer):
                yield writer
        with _writing(path):
            partial.replace(final)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def check_output(path: Path, how: str | None = None) -> None:
    """Raise OutputError where it is known before a run that its tensors cannot be written; None: as a recording."""
    with _writing(path):
        folder = Path(os.path.realpath(path)).parent
    if how is None and path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"cannot write {path}", found=f'the suffix "{path.suffix}"', hint="name the file run.npz or run.safetensors"
        )
    if not folder.is_dir():
        raise OutputError(
            f"cannot write {path}", found=f"there is no folder {folder}", hint="name a file in an existing folder"
        )
    if how is not None and path.exists():
        raise OutputError(f"cannot write {path}", found="it exists already", hint="name a new folder or file")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, zipfile.LargeZipFile) as error:
        raise OutputError.of(
            f"cannot write {path}",
            error,
            "name a file in an existing folder that you may write to, with enough free space",
        ) from error


def _storable(array: Array) -> Array:
    """Strings as a unicode array, types beyond numpy's own (bfloat16) as float32."""
    if array.dtype.kind in "OSU":
        texts = [
            t.decode("utf-8", errors="replace") if isinstance(t, bytes) else str(t) for t in array.ravel().tolist()
        ]
        return np.array(texts, dtype=np.str_).reshape(array.shape)
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


class _NpzWriter(ArrayWriter):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)

    def add(self, name: str, array: Array) -> None:
        self._append(name, _storable(np.asarray(array)))

    def _append(self, name: str, content: Array) -> None:
        with _writing(self._path), self._zip.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, content, allow_pickle=False)

    def finish(self, document: str | None) -> None:
        if document is not None:
            self._append(DOCUMENT, np.array(document.encode("ascii")))
        with _writing(self._path):
            self._zip.close()

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self._zip.close()


class _SafetensorsWriter(ArrayWriter):
    """The header stands first and is known last, so the arrays wait in a second file."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._header: dict[str, Any] = {}
        self._data = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - lives as long as the writer

    def add(self, name: str, array: Array) -> None:
        array = _storable(np.asarray(array))
        word = _WORDS.get(array.dtype)
        if word is None:
            raise OutputError(
                "safetensors cannot hold a tensor of this recording",
                found=f'"{name}" of type {"string" if array.dtype.kind == "U" else array.dtype}',
                hint="write the recording to a .npz file",
            )
        begin = self._data.tell()
        offsets = [begin, begin + array.nbytes]
        self._header[name] = {"dtype": word, "shape": list(array.shape), "data_offsets": offsets}
        with _writing(self._path):
            self._data.write(np.ascontiguousarray(array).data if array.nbytes else b"")

    def finish(self, document: str | None) -> None:
        header = {"__metadata__": {DOCUMENT: document}, **self._header} if document is not None else self._header
        text = json.dumps(header).encode("ascii")
        text += b" " * (-len(text) % 8)
        with _writing(self._path):
            self._file.write(struct.pack("<Q", len(text)) + text)
            self._data.seek(0)
            shutil.copyfileobj(self._data, self._file, 1 << 20)

    def close(self) -> None:
        self._data.close()
