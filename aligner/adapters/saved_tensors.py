"""Tensors that ``torch.save`` has written to be fed to a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.border import unreadable_input
from aligner.adapters.torch_archive import check_pickled_tensors, within_limits
from aligner.adapters.torch_file import is_program
from aligner.errors import InputError, MissingFrameworkError

_HINT = "save a tensor or a dict of tensors with torch.save"


def read_tensors(path: Path) -> Any:
    """One tensor of torch's, or a dict of such by name. Raises InputError and MissingFrameworkError."""
    try:
        import torch
    except ImportError as error:
        raise MissingFrameworkError(
            f"reading {path} needs torch", found="torch is not installed", hint='pip install "aligner[torch]"'
        ) from error
    try:
        if is_program(path):
            raise InputError(f"{path} is a model, not an input", found="a TorchScript archive", hint=_HINT)
        check_pickled_tensors(path)
        loaded = within_limits(torch.load(path, map_location="cpu", weights_only=True), path)
    except InputError:
        raise
    except Exception as error:  # torch raises anything from RuntimeError to UnpicklingError
        raise unreadable_input(path, error, _HINT) from error
    if isinstance(loaded, torch.Tensor):
        return loaded
    if isinstance(loaded, Mapping) and loaded and all(isinstance(entry, torch.Tensor) for entry in loaded.values()):
        return {str(name): tensor for name, tensor in loaded.items()}
    raise InputError(f"{path} holds no tensor", found=type(loaded).__name__, hint=_HINT)
