"""A state dict that torch.save wrote, or a checkpoint that holds one: the weights alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.checkpoints.checkpoint import Checkpoint, StoredTensor
from aligner.records.array import Single

_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt"})


def is_state(path: Path) -> bool:
    """Whether a file of one of PyTorch's suffixes holds tensors and no model; its tensors are not read."""
    from aligner.adapters.torch_file import classify

    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    try:
        return classify(path).kind == "state_dict"
    except OSError:
        return False


def read(path: Path) -> Checkpoint:
    """The tensors of the file, or of the part of it that is meant for inference.

    Raises ModelFormatError (damaged) or MissingFrameworkError.
    """
    from aligner.adapters.pytorch_adapter.checkpoint import read_checkpoint, weights_of

    container, tensors = weights_of(read_checkpoint(path))
    form = f"PyTorch checkpoint, its {container}" if container else "PyTorch state dict"
    stored = {name: _stored(name, tensor) for name, tensor in tensors.items() if not tensor.is_quantized}
    return Checkpoint(str(path), form, stored)


def _stored(name: str, tensor: Any) -> StoredTensor:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return StoredTensor(name, tuple(tensor.shape), dtype, partial(_rows, tensor))


def _rows(tensor: Any, first: int, last: int) -> Single:
    part = tensor[first:last] if tensor.dim() else tensor
    return np.asarray(part.detach().float().numpy())
