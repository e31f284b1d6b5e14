"""The debug tree of transformers' model_addition_debugger_context: JSON, and a .safetensors file for each tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.dumps.dump import (
    Dump,
    DumpedTensor,
    LazyDump,
    damage,
    files_of,
    inside,
    looks_like_json,
    read_json,
    several,
)
from aligner.errors import ModelFormatError, listing
from aligner.records.array import Array

_TREE = "_debug_tree_FULL_TENSORS.json"
_DEEPEST = 200
"""Modules within each other: a limit that recursion of Python does not reach."""


def recognises(path: Path) -> bool:
    """Whether it is a tree, or the folder of one."""
    if path.is_dir():
        return bool(_trees(path))
    return path.suffix == ".json" and looks_like_json(path, "module_path", "children")


def _trees(folder: Path) -> list[Path]:
    return [file for file in files_of(folder, ".json") if file.name.endswith(_TREE)]


def open_dump(path: Path) -> Dump:
    """What each module gave back, by module path, innermost first as computed."""
    if path.is_dir():
        trees = _trees(path)
        if len(trees) > 1:
            raise several(path, "several trees", [tree.name for tree in trees], f"name one: {trees[0]}")
        path = trees[0]
    document = read_json(path)
    with damage(path, "its tree"):
        root = str(document.get("module_path", ""))
        outputs = list(_outputs(document, root, 0))
        tensors = [_tensor(path.parent, name, entry) for name, entry in outputs if _stored(entry)]
    if not tensors:
        raise ModelFormatError(
            f"{path} holds printed numbers and no tensors",
            found=listing(name for name, _ in outputs),
            hint="dump again with use_repr=False, do_prune_layers=False",
        )
    notes = []
    if len(tensors) < len(outputs):
        notes.append(
            f"{len(outputs) - len(tensors)} of {len(outputs)} outputs of the tree have no tensor (do_prune_layers "
            "leaves out the middle layers)"
        )
    return LazyDump(path, "transformers' debug tree", tensors, notes)


def _outputs(node: Mapping[str, Any], root: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if depth > _DEEPEST:
        return
    for child in node.get("children") or ():
        yield from _outputs(child, root, depth + 1)
    name = str(node.get("module_path", ""))
    name = name.removeprefix(root).lstrip(".") or name
    found = node.get("outputs")
    entries = [found] if isinstance(found, Mapping) else list(found or ())
    plain = [entry for entry in entries if isinstance(entry, Mapping)]
    for place, entry in enumerate(plain):
        yield (f"{name}.{place}" if len(plain) > 1 else name), entry


def _stored(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("value", "")).endswith(".safetensors")


def _tensor(folder: Path, name: str, entry: Mapping[str, Any]) -> tuple[DumpedTensor, Callable[[], Array]]:
    from aligner.adapters.recording_adapter.file import open_file

    file = open_file(inside(folder, str(entry["value"])))
    key = next(iter(file.entries))
    stored = file.entries[key]
    dtype = stored.dtype.name if stored.wide else "bfloat16"
    return DumpedTensor(name, stored.shape, dtype), lambda: file.read(key)
