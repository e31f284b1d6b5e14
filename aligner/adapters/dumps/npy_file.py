"""A single .npy file: its header, and its array when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from aligner.adapters.dumps.dump import DumpedTensor, Role, damage, size_of
from aligner.errors import ModelFormatError
from aligner.records.array import Array


def npy(
    path: Path, name: str, role: Role = "tensor", place: int | None = None
) -> tuple[DumpedTensor, Callable[[], Array]]:
    """The tensor that a .npy file holds, under a name.

    Raises ModelFormatError where it is none, is cut off, or holds Python objects.
    """
    with damage(path, "its header"), path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        start = file.tell()
    if dtype.hasobject or dtype.kind not in "fiubc":
        raise ModelFormatError(
            f"{path} holds no numbers", found=f"an array of {dtype}", hint="save a numeric array with numpy.save"
        )
    if start + size_of(shape) * dtype.itemsize != path.stat().st_size:
        raise ModelFormatError(
            f"{path} is cut off",
            found=f"{path.stat().st_size} bytes, its header says {list(shape)} of {dtype}",
            hint="copy the folder again, or dump again",
        )
    return DumpedTensor(name, tuple(shape), dtype.name, role, place), lambda: np.load(path, allow_pickle=False)
