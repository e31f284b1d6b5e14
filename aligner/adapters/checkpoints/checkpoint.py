"""Weights without a graph: safetensors files and folders, GGUF files; read tensor by tensor, rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aligner.errors import ModelFormatError, ModelNotFoundError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]

Rows = Callable[[int, int], "Numbers"]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file. ``dtype`` is the file's own word; ``rows`` gives a part of the first axis, dequantised."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    rows: Rows

    def whole(self) -> Numbers:
        """All of it."""
        return self.rows(0, self.shape[0] if self.shape else 1)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All tensors of a file or folder. ``names``: the name here of what another program calls so."""

    path: str
    form: str
    tensors: Mapping[str, StoredTensor]
    architecture: str = ""
    names: Callable[[str], str | None] = field(default=lambda _: None)


def is_checkpoint(target: object) -> bool:
    """Whether it is a file or folder of weights that this reads."""
    path = Path(str(target)) if isinstance(target, (str, Path)) else None
    if path is None:
        return False
    if path.is_dir():
        return any(path.glob("*.safetensors")) or any(path.glob("*.safetensors.index.json"))
    return path.suffix.lower() in (".safetensors", ".gguf")


def open_checkpoint(target: Path) -> Checkpoint:
    """Read what there is; no tensor is loaded.

    Raises ModelNotFoundError, ModelFormatError, or MissingFrameworkError where GGUF's library is not installed.
    """
    from aligner.adapters.checkpoints import gguf_file, safetensors_files

    if not target.exists():
        raise ModelNotFoundError(f"{target} does not exist", found="no such file or folder", hint="check the path")
    found = gguf_file.read(target) if target.suffix.lower() == ".gguf" else safetensors_files.read(target)
    if not found.tensors:
        raise ModelFormatError(f"{target} holds no weights", found="no tensors", hint="name the file with the weights")
    return found
