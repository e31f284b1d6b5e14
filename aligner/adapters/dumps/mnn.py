"""MNN's text dumps: output/<op>.txt, one number after the other, without a shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from aligner.adapters.dumps.dump import TEXT_LIMIT, Dump, DumpedTensor, LazyDump, files_of
from aligner.errors import ModelFormatError
from aligner.records.array import Array

_INPUT = "Input_"
_HEAD = 256
"""Bytes of a file that are read to see whether it is numbers as text."""


def recognises(path: Path) -> bool:
    """Whether it is a folder of text files that begin with numbers."""
    if not path.is_dir():
        return False
    files = files_of(path, ".txt")
    return bool(files) and all(_numeric(file) for file in files[:5])


def _numeric(file: Path) -> bool:
    with file.open("rb") as opened:
        words = opened.read(_HEAD).split()
    try:
        return bool([float(word) for word in words[: max(1, len(words) - 1)]])
    except ValueError:
        return False


def open_dump(path: Path) -> Dump:
    """Tensors named as their files; what an op reads (Input_<op>.txt) is the output of another and left out."""
    files = [file for file in files_of(path, ".txt") if not file.stem.startswith(_INPUT)]
    return LazyDump(path, "MNN's text files", [_tensor(file) for file in files])


def _tensor(file: Path) -> tuple[DumpedTensor, Callable[[], Array]]:
    if file.stat().st_size > TEXT_LIMIT:
        raise ModelFormatError(
            f"{file} is too large a text", found=f"{file.stat().st_size:,} bytes", hint="dump to .npy files instead"
        )

    def read() -> Array:
        return np.array(file.read_text(errors="replace").split(), dtype=np.float32).view(np.uint8)

    with file.open("rb") as lines:
        count = sum(len(line.split()) for line in lines)
    return DumpedTensor(file.stem, dtype="float32", nbytes=4 * count), read
