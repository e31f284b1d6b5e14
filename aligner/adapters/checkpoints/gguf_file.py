"""GGUF, read and dequantised by llama.cpp's own library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.checkpoints.checkpoint import Checkpoint, StoredTensor
from aligner.errors import MissingFrameworkError, ModelFormatError
from aligner.records.array import Single

_PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


def read(path: Path) -> Checkpoint:
    """Names, shapes and types; what a transformers checkpoint calls a tensor is known by the architecture."""
    try:
        import gguf  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingFrameworkError(
            f"reading {path} needs gguf", found="gguf is not installed", hint='pip install "aligner[gguf]"'
        ) from error
    try:
        reader = _reader(path)
        tensors = {tensor.name: _tensor(path, tensor) for tensor in reader.tensors}
        architecture = _text(reader, "general.architecture")
        layers = _number(reader, f"{architecture}.block_count")
    except Exception as error:  # a damaged file shows as anything from ValueError to IndexError
        raise ModelFormatError(
            f"{path} is no GGUF file that can be read",
            found=f"{type(error).__name__}: {error}",
            hint="download it again; the copy may have been cut off",
        ) from error
    return Checkpoint(
        str(path), f"GGUF ({architecture or 'unknown'})", tensors, architecture, _names(architecture, layers)
    )


def _reader(path: Path) -> Any:
    """The library's own, which takes what lies behind the end of a file for nothing, however often it is promised."""
    from gguf import GGUFReader

    class Reader(GGUFReader):  # type: ignore[misc]  # it has no types
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if len(found) < int(count):
                raise ValueError(f"it ends before byte {offset + int(count)}")
            return found

    return Reader(path)


def _tensor(path: Path, tensor: Any) -> StoredTensor:
    word = tensor.tensor_type.name
    shape = tuple(int(dim) for dim in reversed(tensor.shape))
    return StoredTensor(tensor.name, shape, _PLAIN.get(word, word), partial(_rows, path, tensor, shape))


def _rows(path: Path, tensor: Any, shape: tuple[int, ...], first: int, last: int) -> Single:
    """Read, not taken from the library's map of the file, whose pages would stay in memory."""
    from gguf import quants

    part = tensor.data[first:last]
    raw = np.fromfile(path, part.dtype, part.size, offset=tensor.data_offset + first * part.strides[0])
    found: Single = np.asarray(quants.dequantize(raw.reshape(part.shape), tensor.tensor_type), np.float32)
    return found.reshape((last - first, *shape[1:]))


def _text(reader: Any, key: str) -> str:
    found = reader.get_field(key)
    return "" if found is None else str(found.contents())


def _number(reader: Any, key: str) -> int:
    found = reader.get_field(key)
    return 0 if found is None else int(found.contents())


def _names(architecture: str, layers: int) -> Callable[[str], str | None]:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    known = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture), None)
    if known is None or not 0 <= layers < 10_000:
        return lambda _: None
    table = get_tensor_name_map(known, layers)
    return lambda name: table.get_name(name, try_suffixes=(".weight", ".bias"))
