"""Which files and folders hold weights alone, and how they are opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aligner.adapters.border import OF_CONTENT
from aligner.adapters.checkpoints import gguf_file, safetensors_files, torch_state
from aligner.adapters.checkpoints.checkpoint import Checkpoint, StoredTensor
from aligner.errors import ModelFormatError, ModelNotFoundError
from aligner.records.array import Single


def is_checkpoint(target: object) -> bool:
    """Whether it is a file or folder of weights that this reads."""
    path = Path(str(target)) if isinstance(target, (str, Path)) else None
    if path is None:
        return False
    if path.is_dir():
        return any(path.glob("*.safetensors")) or any(path.glob("*.safetensors.index.json"))
    return path.suffix.lower() in (".safetensors", ".gguf") or torch_state.is_state(path)


def open_checkpoint(target: Path) -> Checkpoint:
    """Read what there is; no tensor is loaded.

    Raises ModelNotFoundError, ModelFormatError, or MissingFrameworkError where GGUF's library is not installed.
    """
    if not target.exists():
        raise ModelNotFoundError(f"{target} does not exist", found="no such file or folder", hint="check the path")
    suffix = target.suffix.lower()
    if suffix == ".gguf":
        found = gguf_file.read(target)
    else:
        found = torch_state.read(target) if torch_state.is_state(target) else safetensors_files.read(target)
    if not found.tensors:
        raise ModelFormatError(f"{target} holds no weights", found="no tensors", hint="name the file with the weights")
    return replace(found, tensors={name: _answering(target, tensor) for name, tensor in found.tensors.items()})


def _answering(target: Path, tensor: StoredTensor) -> StoredTensor:
    """The tensor; numbers that cannot be read when they are wanted are the file's fault."""

    def rows(first: int, last: int) -> Single:
        try:
            return tensor.rows(first, last)
        except (OSError, NotImplementedError, *OF_CONTENT) as error:
            raise ModelFormatError(
                f"{target} holds a tensor that cannot be read",
                found=f"{tensor.name}, {tensor.dtype} {list(tensor.shape)}: {error or type(error).__name__}",
                hint="download it again, or write it in a type that is read (float16, bfloat16, Q8_0, …)",
            ) from error

    return replace(tensor, rows=rows)
