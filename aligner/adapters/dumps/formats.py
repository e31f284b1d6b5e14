"""The formats of dumps, each recognised by what is in a file or folder; the first that knows it reads it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from aligner.adapters.dumps.dump import Dump, LeadsOutError, unreadable
from aligner.adapters.target import WHAT_TO_WRITE
from aligner.errors import AlignerError, ModelFormatError, ModelNotFoundError

_FORMATS = (
    "transformers_tree",
    "msprobe",
    "polygraphy",
    "trtexec",
    "rknn",
    "onnx_test_data",
    "ort_node_io",
    "executorch",
    "npy_folder",
    "raw_folder",
    "mnn",
    "array_file",
)
"""Modules of this package with ``recognises(path)`` and ``open_dump(path)``; those with a file of their own first."""
SAVED_INPUTS = "inputs saved by Polygraphy (.json), ONNX test data (.pb, or its folder), folders of .npy"
"""What people save to be fed again, in their words."""
_UNSAID = ("torch_file",)
"""Formats that could also be a checkpoint: read where the user says that it is a dump."""


def _modules(*, stated: bool) -> list[ModuleType]:
    names = (*_FORMATS, *_UNSAID) if stated else _FORMATS
    return [importlib.import_module(f"aligner.adapters.dumps.{name}") for name in names]


def is_dump(path: Path, *, stated: bool = False) -> bool:
    """Whether a format knows the file or folder; ``stated``: the user says that it is a dump."""
    return path.exists() and any(_recognises(module, path) for module in _modules(stated=stated))


def beside(path: Path) -> list[Path]:
    """Files outside of a dump's folder that its format reads too."""
    tellers = [module.beside for module in _modules(stated=False) if hasattr(module, "beside")]
    return [file for tell in tellers for file in tell(path)] if path.is_dir() else []


def _recognises(module: ModuleType, path: Path) -> bool:
    try:
        return bool(module.recognises(path))
    except LeadsOutError:
        return True  # it has the format's own file: opening it says where that leads
    except (OSError, ValueError, AlignerError):
        return False


def open_dump(path: Path) -> Dump:
    """Read what a dump says of its tensors.

    Raises ModelNotFoundError, or ModelFormatError that says what to write where no format knows it.
    """
    if not path.exists():
        raise ModelNotFoundError("there is no such dump", found=str(path), hint="check the path")
    for module in _modules(stated=True):
        if _recognises(module, path):
            return _opened(module, path)
    raise ModelFormatError(
        f"{path} is no dump of tensors in a format that is known",
        found=content(path),
        hint=WHAT_TO_WRITE,
    )


def _opened(module: ModuleType, path: Path) -> Dump:
    try:
        dump: Dump = module.open_dump(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return dump


def content(path: Path) -> str:
    """What a file begins with, or a folder holds, in words."""
    try:
        return _content(path)
    except OSError as error:
        return str(error.strerror or error)


def _content(path: Path) -> str:
    if not path.is_dir():
        with path.open("rb") as file:
            return f"first bytes {file.read(16)!r}"
    suffixes: dict[str, int] = {}
    for number, entry in enumerate(path.iterdir()):
        if number > 10_000:
            break
        word = "link" if entry.is_symlink() else "folder" if entry.is_dir() else entry.suffix or "without a suffix"
        suffixes[word] = suffixes.get(word, 0) + 1
    return "a folder of " + (", ".join(f"{count} {word}" for word, count in sorted(suffixes.items())) or "nothing")
