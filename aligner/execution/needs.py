"""Which files work on given models and inputs may need, and whether these are somebody's own code: its bounds."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path

from aligner.adapters.checkpoints.safetensors_files import beside as store
from aligner.adapters.dumps.formats import beside
from aligner.adapters.target import parse_target
from aligner.execution.confinement import Bounds
from aligner.records.free_memory import available

_ALONE = frozenset(
    ".gguf .pt .pth .ts .jit .torchscript .tflite .npz .npy .safetensors .json .keras .h5 .hdf5 .csv .yaml .yml .png "
    ".jpg .jpeg .bmp .gif .tif .tiff .webp".split()
)
"""Files that never refer to others beside them."""


def needed(
    models: Collection[object],
    told: Iterable[object],
    writes: Iterable[Path] = (),
    *,
    trust: bool,
    device: str | None,
    provider: str | None,
) -> Bounds:
    """The files that models and whatever else is told name, the folders to be written in, no network.

    A factory or a live object is the user's own code, and a trusted file runs as such: these may need any file and the
    network. The driver of a GPU maps more memory than there is.
    """
    on_processor = device in (None, "cpu") and (provider or "cpu").lower().startswith("cpu")
    named = [os.fsdecode(model) for model in models if isinstance(model, (str, os.PathLike))]
    own = trust or len(named) < len(models) or any(parse_target(word).factory for word in named)
    told = [*named, *told]
    reads = list(input_files(told))
    reads += [folder for path in reads if path.suffix.lower() not in _ALONE for folder in _around(path)]
    folders = list(input_folders(named, told))
    reads += [*folders, *(file for folder in folders for file in (*beside(folder), *store(folder)))]
    return Bounds(
        reads=tuple(reads),
        lists=tuple({Path(word).parent for word in named}),
        writes=tuple(map(_standing, writes)),
        files=not own,
        network=not own,
        memory=available() if on_processor else None,
    )


def input_files(told: Iterable[object]) -> Iterator[Path]:
    """Files that a word may mean: itself, what follows NAME=, what precedes :factory."""
    for word in map(str, _words(told)):
        for text in (word, word.split("=", 1)[-1], word.rsplit(":", 1)[0]):
            with suppress(OSError, ValueError):
                if text and Path(text).is_file():
                    yield Path(text)


def input_folders(models: Iterable[str], told: Iterable[object]) -> Iterator[Path]:
    """Models that are folders (dumps, SavedModels, checkpoints), and paths of folders."""
    named: list[str | Path] = [*models, *(path for path in _words(told) if isinstance(path, Path))]
    for word in named:
        with suppress(OSError, ValueError):
            if str(word) and Path(word).is_dir():
                yield Path(word)


def _words(told: object) -> Iterator[str | Path]:
    """Texts and paths, however deep they lie."""
    if isinstance(told, (str, Path)):
        yield told
    elif isinstance(told, Mapping):
        yield from _words(list(told.values()))
    elif isinstance(told, (list, tuple)):
        for item in told:
            yield from _words(item)
    elif is_dataclass(told) and not isinstance(told, type):
        yield from _words([getattr(told, field.name) for field in fields(told)])


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one around it that is there."""
    return next((place for place in (folder, *folder.parents) if place.is_dir()), folder)


def _around(path: Path) -> tuple[Path, Path]:
    """The folders in which a model's external data may lie: beside a link, and beside the file itself."""
    return path.parent, path.resolve().parent
