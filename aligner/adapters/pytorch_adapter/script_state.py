"""The parameters and buffers of a TorchScript archive, read without compiling or running its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aligner.adapters.torch_archive import (
    StoredObject,
    StoredTensor,
    TorchArchive,
    check_storages,
    content_of,
    damaged,
    open_archive,
)

_DTYPES = {
    **{"Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64", "Bool": "bool"},
    **{"Half": "float16", "BFloat16": "bfloat16", "Float": "float32", "Double": "float64"},
    **{"ComplexFloat": "complex64", "ComplexDouble": "complex128"},
}


def script_state(path: Path) -> dict[str, Any]:
    """What ``torch.jit.load(path).state_dict()`` would give. Raises ModelFormatError, UntrustedFileError."""
    with open_archive(path) as archive:
        check_storages(archive)
        declared = _declared(archive)
        stored = dict(_stored(content_of(archive), declared, ""))
        return {name: _tensor(archive, tensor) for name, tensor in stored.items()}


def _declared(archive: TorchArchive) -> dict[str, set[str]]:
    """Class → names of its parameters and buffers: "__torch__.nets Net" → {"weight"}."""
    found: dict[str, set[str]] = {}
    for member, text in archive.sources():
        module = member.removeprefix("code/").removesuffix(".py").replace("/", ".")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise damaged(archive.path, f"{member}: {error}") from error
        for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            lists = [node for node in kind.body if isinstance(node, ast.Assign) and _lists_state(node)]
            names = {str(item.value) for node in lists for item in ast.walk(node) if isinstance(item, ast.Constant)}
            found[f"{module} {kind.name}"] = names
    return found


def _lists_state(node: ast.Assign) -> bool:
    target = node.targets[0]
    return isinstance(target, ast.Name) and target.id in ("__parameters__", "__buffers__")


def _stored(content: Any, declared: dict[str, set[str]], prefix: str) -> Iterator[tuple[str, StoredTensor]]:
    if not isinstance(content, StoredObject):
        return
    wanted = declared.get(content.name, set())
    for name, value in content.attributes.items():
        if isinstance(value, StoredTensor) and name in wanted:
            yield f"{prefix}{name}", value
        else:
            yield from _stored(value, declared, f"{prefix}{name}.")


def _tensor(archive: TorchArchive, stored: StoredTensor) -> Any:
    import torch

    dtype = _DTYPES.get(stored.storage.dtype)
    if dtype is None:
        raise damaged(archive.path, f"parameters of the type {stored.storage.dtype}, which only quantised kernels have")
    kind = getattr(torch, dtype)
    if not stored.storage.count:
        return torch.empty(stored.shape, dtype=kind)
    held = archive.read(f"data/{stored.storage.key}")
    flat = torch.frombuffer(bytearray(held), dtype=kind, count=len(held) // kind.itemsize)
    return flat.as_strided(stored.shape, stored.strides, stored.offset)
