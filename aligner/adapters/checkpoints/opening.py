"""Which files and folders hold weights alone, and how they are opened."""

from __future__ import annotations

from pathlib import Path

from aligner.adapters.checkpoints import gguf_file, safetensors_files
from aligner.adapters.checkpoints.checkpoint import Checkpoint
from aligner.errors import ModelFormatError, ModelNotFoundError


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
    if not target.exists():
        raise ModelNotFoundError(f"{target} does not exist", found="no such file or folder", hint="check the path")
    found = gguf_file.read(target) if target.suffix.lower() == ".gguf" else safetensors_files.read(target)
    if not found.tensors:
        raise ModelFormatError(f"{target} holds no weights", found="no tensors", hint="name the file with the weights")
    return found
