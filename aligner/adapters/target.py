"""What the user named as a model: a file, a factory, or a live object; and what to say when nobody reads it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from aligner.errors import (
    AlignerError,
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
    listing,
)
from aligner.records.dataclass import dataclass

_FACTORY = re.compile(r"(?P<place>.+):(?P<name>[A-Za-z_][\w.]*)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

WHAT_TO_WRITE = (
    "write a folder of .npy files, one .npz or one .safetensors, each tensor under the model's own name for it; "
    "or raw float32 files named after the tensors, and --dump-of MODEL for their shapes"
)
"""What to do about a dump in a format that nobody knows."""

_MODEL_SUFFIXES = frozenset(".pt .pth .onnx .tflite .npz .safetensors .pt2 .bin .jit .ts .xml .keras .h5".split())

_FOREIGN = {
    ".pb": ("TensorFlow GraphDef", "save the model as a SavedModel, or convert it to TFLite or ONNX"),
    ".engine": ("TensorRT engine", "compare the ONNX file that the engine was built from"),
    ".plan": ("TensorRT engine", "compare the ONNX file that the engine was built from"),
    ".trt": ("TensorRT engine", "compare the ONNX file that the engine was built from"),
    ".mlmodel": ("Core ML", "record its tensors where Core ML runs, and compare the recording (.npz)"),
    ".mlpackage": ("Core ML", "record its tensors where Core ML runs, and compare the recording (.npz)"),
    ".gguf": ("GGUF", "compare the PyTorch or ONNX model that it was converted from"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """``value`` is what adapters get: a Path, a "place:factory" string, or the user's object."""

    value: object
    path: Path | None = None
    """The file that must exist; None for an object or a factory in an importable module."""
    factory: str | None = None

    def __str__(self) -> str:
        return str(self.value) if isinstance(self.value, (str, Path)) else f"a {type(self.value).__qualname__} object"


def parse_target(target: object) -> Target:
    """Tell paths, factories and objects apart; an existing file wins over a colon in its name."""
    if isinstance(target, os.PathLike):
        target = os.fspath(target)
    if isinstance(target, bytes):
        return Target(target)
    if not isinstance(target, str):
        return Target(target)
    match = _FACTORY.fullmatch(target)
    if match and not Path(target).exists():
        place = match["place"]
        if place.endswith(".py"):
            return Target(target, Path(place), match["name"])
        if _DOTTED.fullmatch(place) and not (len(place) == 1 and os.name == "nt"):
            return Target(target, None, match["name"])
    return Target(Path(target), Path(target))


def check_target(target: Target) -> None:
    """Raise unless the file exists, can be read and holds something; a folder is left for adapters to claim."""
    path = target.path
    if path is None:
        return
    if target.value == Path():
        raise ModelNotFoundError(
            "no model was named",
            found="an empty path, or the folder you are in",
            hint="give the path of a model file",
        )
    try:
        if path.is_dir() and target.factory is None:
            return
        if not path.exists():
            raise _not_found(target, path)
        if not path.is_file():
            raise ModelFormatError(f"{path} is not a file", found=_sort(path), hint="give the path of a model file")
        size, head = path.stat().st_size, first_bytes(path)
    except OSError as error:
        raise ModelError.of(f"{path} cannot be read", error, "check the path and its permissions") from error
    if target.factory is None:
        _check_content(path, size, head)


def real_path(path: Path) -> Path:
    """Where a path leads, links followed; a loop of links leads nowhere, to a file that is not there."""
    return Path(os.path.realpath(path))


def lies_with(file: Path, model: Path) -> bool:
    """Whether a file lies in a model's folder: the one of its name, or, of a link, the one it leads to."""
    homes = real_path(model.parent), real_path(model).parent
    return any(real_path(file).is_relative_to(home) for home in homes)


def beside(model: Path, suffix: str, hint: str) -> Path:
    """The file of the same name with another suffix, which may not be there.

    Raises ModelFormatError where it is a link that leads out of the folder.
    """
    file = model.with_suffix(suffix)
    if not lies_with(file, model):
        raise ModelFormatError(
            f"the weights of {model} lie elsewhere",
            found=f"{file.name}, a link that leads out of its folder",
            hint=hint,
        )
    return file


def check_there(target: object, weights: Path | None) -> None:
    """Raise what opening the model would raise of a file that is not there, of the checkpoint too."""
    check_target(parse_target(target))
    if weights is not None and not weights.exists():
        raise missing_checkpoint(weights)


def missing_checkpoint(path: Path) -> ModelNotFoundError:
    """The error of a checkpoint that is not there."""
    return ModelNotFoundError(
        f"the checkpoint {path} does not exist", found=f"nothing at {path.absolute()}", hint="check the path"
    )


def is_unicode(path: Path) -> bool:
    """Whether a file's name is text; native runtimes are handed names as UTF-8."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def first_bytes(path: Path, count: int = 64) -> bytes:
    """Return the beginning of a file, by which its format is recognised."""
    with path.open("rb") as file:
        return file.read(count)


def unreadable(target: Target, readers: Iterable[tuple[str, str]]) -> AlignerError:
    """Say why no adapter claimed the target; ``readers`` are (adapter name, what it reads)."""
    read = "; ".join(f"{name}: {reads}" for name, reads in readers) or "no adapter is installed"
    hint = f"what can be read: {read}"
    path = target.path
    if target.factory is not None or path is None:
        return ModelFormatError(f"no adapter opens {target}", found=_kind(target.value), hint=hint)
    head = b"" if path.is_dir() else first_bytes(path)
    foreign = _FOREIGN.get(path.suffix.lower())
    if foreign is not None:
        what, way_out = foreign
        return UnsupportedModelError(f"{what} files are not read yet: {path}", found=_looks(path, head), hint=way_out)
    if path.is_dir():
        return _directory(path, hint)
    if path.suffix == ".py":
        return ModelFormatError(
            f"{path} is code: say which function in it builds the model",
            found="no function named",
            hint=f"{path}:my_function, for a function that takes nothing and returns an nn.Module",
        )
    return ModelFormatError(
        f"{path} is no model that an adapter recognises",
        found=f"first bytes {_looks(path, head)}",
        hint=f"{hint}. If it holds tensors of a run: {WHAT_TO_WRITE}",
    )


def _check_content(path: Path, size: int, head: bytes) -> None:
    if size == 0:
        raise ModelFormatError(
            f"{path} is empty", found="0 bytes", hint="download or export it again; the copy may have been cut off"
        )
    if head.startswith(b"version https://git-lfs"):
        raise ModelFormatError(
            f"{path} is a Git LFS pointer, not the model",
            found=f"{size} bytes of text",
            hint="run `git lfs pull` in its repository",
        )
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ModelFormatError(
            f"{path} is a web page, not a model",
            found=f"first bytes {_looks(path, head)}",
            hint="download the file itself: a page's address often differs from the file's",
        )


def _not_found(target: Target, path: Path) -> ModelNotFoundError:
    folder = path.parent
    if not folder.is_dir():
        found, hint = f"the folder {folder} does not exist", "check the path"
    else:
        names = sorted(entry.name for entry in folder.iterdir())
        close = difflib.get_close_matches(path.name, names, n=5, cutoff=0.6)
        wanted = {".py"} if target.factory else _MODEL_SUFFIXES
        models = [name for name in names if Path(name).suffix.lower() in wanted]
        found = f"{folder.absolute()} holds {len(names)} entries, no {path.name}"
        hint = f"did you mean {listing(close)}?" if close else "check the path"
        if not close and models:
            hint = f"model files there: {listing(models)}"
    what = f"the file of {target} does not exist" if target.factory else f"{path} does not exist"
    return ModelNotFoundError(what, found=found, hint=hint)


def _directory(path: Path, hint: str) -> ModelFormatError:
    models = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _MODEL_SUFFIXES)
    found = f"model files in it: {listing(models)}" if models else "no model file in it"
    return ModelFormatError(f"{path} is a directory", found=found, hint=f"name one file; {hint}")


def _kind(value: object) -> str:
    if isinstance(value, (str, Path)):
        return f"the factory {value}"
    return f"an object of type {type(value).__module__}.{type(value).__qualname__}"


def _looks(path: Path, head: bytes) -> str:
    return "a directory" if path.is_dir() else f"{head[:16].hex(' ')} ({head[:16]!r})"


def _sort(path: Path) -> str:
    kinds = (("a socket", path.is_socket), ("a pipe", path.is_fifo), ("a device", path.is_char_device))
    return next((word for word, test in kinds if test()), "neither a file nor a directory")
