"""Weights without a graph: safetensors files and folders, GGUF files; read tensor by tensor, rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from aligner.records.array import Single
from aligner.records.dataclass import dataclass

Rows = Callable[[int, int], Single]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file. ``dtype`` is the file's own word; ``rows`` gives a part of the first axis, dequantised."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    rows: Rows
    steps: Rows | None = None
    """How far apart the codes around each number are, where that is known number by number."""

    def whole(self) -> Single:
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
    by_rows: bool = True
    """Whether a matrix has a row for each output, as PyTorch's checkpoints have it and most files of their kind."""
