"""Tensors that another program wrote of a run, whatever its format: names, shapes where they are told, and one verb."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aligner.adapters.target import real_path
from aligner.errors import AlignerError, ModelFormatError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization

Role = Literal["tensor", "input", "output"]

TEXT_LIMIT = 1 << 30
"""Bytes of a file that has to be parsed as a whole, which takes several times as much memory."""
MOST_FILES = 100_000
"""Entries of a folder that are looked at."""
_HEADER = 1 << 16
"""Bytes of either end that are looked at for words of a format."""


@dataclass(frozen=True, slots=True)
class KnownStatistics:
    """What a tool says of a tensor in its place; None where it does not."""

    max: float | None = None
    min: float | None = None
    mean: float | None = None
    norm: float | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any], *words: str) -> KnownStatistics | None:
        """From a JSON object, by the tool's words for max, min, mean and norm; None where none is a number."""
        found = [entry.get(word) if word else None for word in (*words, "", "", "")[:4]]
        numbers = [float(one) if isinstance(one, int | float) and math.isfinite(one) else None for one in found]
        return cls(*numbers) if any(one is not None for one in numbers) else None


@dataclass(frozen=True, slots=True)
class DumpedTensor:
    """One tensor of a dump. ``shape`` and ``dtype`` are None where the format does not tell them.

    ``role`` and ``place`` are what the format says of a model's inputs and outputs: their order, where they go without
    the model's names. ``nbytes`` is given where only the model can say what shape the bytes have.
    """

    name: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    role: Role = "tensor"
    place: int | None = None
    quantization: Quantization | None = None
    nbytes: int | None = None
    statistics: KnownStatistics | None = None
    """Given where there is nothing else."""


class Dump(ABC):
    """``tensors`` in the order in which they were computed, as far as the format keeps it."""

    writer: str
    """What wrote it, for the report: "a folder of .npy files", "Polygraphy's run results"."""
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors: tuple[DumpedTensor, ...] = ()

    @abstractmethod
    def read(self, place: int) -> Array:
        """The numbers of ``tensors[place]``: in its shape, or, where that is None, the bytes as uint8.

        Raises ModelFormatError where the file has changed or is damaged.
        """

    def close(self) -> None:  # noqa: B027 - most keep nothing open
        """Release the files."""


class LazyDump(Dump):
    """A dump whose tensors each know how to read themselves."""

    def __init__(
        self,
        path: Path,
        writer: str,
        tensors: Sequence[tuple[DumpedTensor, Callable[[], Array]]],
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(path)
        self.writer, self.notes = writer, tuple(notes)
        self.tensors = tuple(tensor for tensor, _ in tensors)
        self._readers = [read for _, read in tensors]
        if not tensors:
            raise ModelFormatError(f"{path} holds no tensors", found=writer, hint="dump again, with tensors in it")

    def read(self, place: int) -> Array:
        """The numbers, read now."""
        with damage(self.path, self.tensors[place].name):
            array = np.asarray(self._readers[place]())
        shape = self.tensors[place].shape
        if shape is not None and tuple(array.shape) != shape:
            raise ModelFormatError(
                f"a tensor of {self.path} is not what its dump says",
                found=f'"{self.tensors[place].name}": {list(array.shape)}, said to be {list(shape)}',
                hint="dump again; the folder may hold files of two runs",
            )
        array = array if not array.flags.writeable else array.view()
        array.flags.writeable = False
        return array


@contextmanager
def damage(path: Path, what: str) -> Iterator[None]:
    """Translate what reading a damaged file raises: anything, from OSError to tokenize's own error of a header."""
    try:
        yield
    except AlignerError:
        raise
    except Exception as error:
        raise ModelFormatError(
            f"{path} cannot be read as the dump that it looks like",
            found=f"{what}: {getattr(error, 'strerror', None) or error or type(error).__name__}",
            hint="dump again, or copy it again",
        ) from error


def no_numbers() -> Any:
    """The reader of a tensor that is known by statistics alone."""
    raise ValueError("the dump holds its statistics and no numbers")


def read_json(path: Path) -> Any:
    """A JSON document of a bounded size.

    Raises ModelFormatError where it is larger, none, or cannot be read.
    """
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError.of(f"{path} is not JSON", error, "dump again, or copy it again") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text of a bounded size.

    Raises ModelFormatError where it is larger, or cannot be read.
    """
    return _text(path).split("\n")


def unreadable(path: Path, error: OSError) -> ModelFormatError:
    """The error of a file or folder that the system does not hand out."""
    where = f"{error.filename}: " if error.filename not in (None, str(path)) else ""
    return ModelFormatError(
        f"{path} cannot be read",
        found=f"{where}{error.strerror or error}",
        hint="check its permissions, or copy the whole folder again",
    )


def _text(path: Path) -> str:
    try:
        return _bounded_text(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _bounded_text(path: Path) -> str:
    size = path.stat().st_size
    if size > TEXT_LIMIT:
        raise ModelFormatError(
            f"{path} is too large to be read as one text",
            found=f"{size:,} bytes, at most {TEXT_LIMIT:,} are read",
            hint="write the tensors as .npy files, .npz or .safetensors",
        )
    return path.read_text(encoding="utf-8", errors="replace")


def looks_like_json(path: Path, *words: str) -> bool:
    """Whether a file begins as JSON and names every one of ``words`` near its begin or its end."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
        if head.lstrip()[:1] not in {b"{", b"["}:
            return False
        file.seek(max(0, path.stat().st_size - _HEADER))
        ends = head + file.read(_HEADER)
    return all(f'"{word}"'.encode() in ends for word in words)


def files_of(folder: Path, *suffixes: str) -> list[Path]:
    """The plain files of a folder with one of the suffixes, by name; links are left alone.

    Raises ModelFormatError for a folder of more entries than anybody dumps.
    """
    found = []
    for number, entry in enumerate(folder.iterdir()):
        if number >= MOST_FILES:
            raise ModelFormatError(
                f"{folder} holds too many files for a dump",
                found=f"more than {MOST_FILES:,}",
                hint="name the folder of one run",
            )
        if entry.suffix.lower() in suffixes and not entry.is_symlink() and entry.is_file():
            found.append(entry)
    return sorted(found)


def folders_of(folder: Path, pattern: str) -> list[Path]:
    """The folders in a folder whose names match, by name; links are left alone."""
    return sorted(entry for entry in folder.glob(pattern) if not entry.is_symlink() and entry.is_dir())


class LeadsOutError(ModelFormatError):
    """A file that belongs to a dump lies elsewhere, or nowhere."""


def leads_out(folder: Path, path: Path) -> bool:
    """Whether a path ends outside a folder, links followed."""
    return not real_path(path).is_relative_to(real_path(folder))


def inside(folder: Path, *names: str) -> Path:
    """A file that a dump names, or its format, where it really lies, which must be in the dump's folder.

    Raises LeadsOutError where it does not.
    """
    path = folder.joinpath(*names)
    out = leads_out(folder, path)
    if out or not path.is_file():
        name = str(Path(*names))
        raise LeadsOutError(
            f"{folder} lacks a file that its dump names",
            found=f"{name} leads out of the folder" if out else name,
            hint="copy the whole folder, with files in place of links, or dump again",
        )
    return real_path(path)


def inside_if_there(folder: Path, name: str) -> Path | None:
    """A file that a format looks for, as ``inside``; None where the folder has none of that name."""
    path = folder / name
    return inside(folder, name) if path.is_symlink() or path.is_file() else None


def size_of(shape: Sequence[int]) -> int:
    """How many numbers a tensor of that shape holds."""
    return math.prod(shape)


def several(path: Path, what: str, found: Sequence[object], hint: str) -> ModelFormatError:
    """The error of a dump that holds the tensors of several runs."""
    return ModelFormatError(f"{path} holds {what}", found=listing(found), hint=hint)
