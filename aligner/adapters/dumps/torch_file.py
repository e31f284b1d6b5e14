"""A dict of tensors saved with torch.save: SGLang's pass files, or anybody's; read weights-only, nothing unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump
from aligner.errors import MissingFrameworkError, ModelFormatError, UntrustedFileError
from aligner.records.array import Array

_DEEPEST = 8
"""Containers within each other that are looked through: a limit of work."""


def recognises(path: Path) -> bool:
    """Whether torch.save wrote tensors into it, and nothing that is code."""
    from aligner.adapters.torch_file import classify

    return path.is_file() and path.suffix.lower() != ".safetensors" and classify(path).kind == "state_dict"


def open_dump(path: Path) -> Dump:
    """Every tensor in the dict, named by its keys."""
    found = load(path)
    if isinstance(found, Mapping) and set(found) == {"value", "meta"}:  # one tensor of SGLang's dumper
        return LazyDump(path, "a tensor of SGLang's dumper", [_tensor(path.stem, found["value"])])
    tensors = [_tensor(name, tensor) for name, tensor in _named("", found, 0)]
    if not tensors:
        raise ModelFormatError(f"{path} holds no tensors", found=type(found).__name__, hint="save a dict of tensors")
    return LazyDump(path, "a dict of tensors of torch.save", tensors)


def load(path: Path) -> Any:
    """What torch.save wrote, weights-only.

    Raises UntrustedFileError where loading would execute code.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingFrameworkError(
            f"{path} cannot be read without PyTorch", found=str(error), hint='pip install "aligner[torch]"'
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UntrustedFileError(
            f"{path} holds more than tensors",
            found=str(error).splitlines()[0],
            hint="save a dict of name → tensor with torch.save; nothing else is unpickled",
        ) from error
    except (OSError, ValueError, RuntimeError, EOFError, KeyError) as error:
        raise ModelFormatError(
            f"{path} cannot be read as a file of tensors", found=str(error).splitlines()[0], hint="dump again"
        ) from error


def _named(name: str, found: Any, depth: int) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(found, torch.Tensor):
        yield name, found
    elif isinstance(found, Mapping) and depth < _DEEPEST:
        for key, inner in found.items():
            yield from _named(f"{name}.{key}" if name else str(key), inner, depth + 1)
    elif isinstance(found, list | tuple) and depth < _DEEPEST:
        for place, inner in enumerate(found):
            yield from _named(f"{name}.{place}" if len(found) > 1 else name, inner, depth + 1)


def _tensor(name: str, tensor: Any) -> tuple[DumpedTensor, Callable[[], Array]]:
    return DumpedTensor(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")), lambda: as_array(tensor)


def as_array(tensor: Any) -> Array:
    """A torch tensor as numpy has it; types that numpy lacks as float32."""
    import torch

    tensor = tensor.detach().cpu()
    narrow = tensor.dtype.is_floating_point and tensor.dtype not in (torch.float16, torch.float32, torch.float64)
    array: Array = (tensor.float() if narrow else tensor).contiguous().numpy()
    return array
