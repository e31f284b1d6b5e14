"""trtexec's --saveAllDebugTensors (tensor_summary.json and its files) and --exportOutput."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.dumps.dump import (
    Dump,
    DumpedTensor,
    KnownStatistics,
    LazyDump,
    damage,
    inside,
    inside_if_there,
    looks_like_json,
    no_numbers,
    read_json,
)
from aligner.adapters.dumps.npy_file import npy
from aligner.errors import ModelFormatError, listing
from aligner.records.array import Array

_SUMMARY = "tensor_summary.json"
_TYPES = {"float": "float32", "half": "float16", "bf16": "bfloat16", "int32": "int32", "int64": "int64"}


def recognises(path: Path) -> bool:
    """Whether it is a folder with a summary, the summary, or outputs with their dimensions."""
    if path.is_dir():
        return inside_if_there(path, _SUMMARY) is not None
    if path.suffix.lower() != ".json":
        return False
    return path.name == _SUMMARY or looks_like_json(path, "dimensions", "values", "name")


def open_dump(path: Path) -> Dump:
    """Debug tensors in the order in which they were written, or the outputs."""
    if not path.is_dir() and path.name != _SUMMARY:
        return _exported(path)
    folder = path if path.is_dir() else path.parent
    summary = inside(path, _SUMMARY) if path.is_dir() else path
    document = read_json(summary)
    with damage(summary, "its tensors"):
        tensors, known, seen, again = [], [], set(), []
        for entry in document["tensors"]:
            name, file = str(entry["name"]), entry.get("files", {}).get("numpy")
            if name in seen:
                again.append(name)  # a further iteration
                continue
            seen.add(name)
            if file is not None:
                tensor, read = npy(inside(folder, Path(str(file)).name), name)
                tensors.append((_with_dtype(tensor, str(entry.get("type", ""))), read))
            elif (statistics := KnownStatistics.of(entry.get("statistics", {}), "max", "min", "avg")) is not None:
                known.append((_summarised(entry, statistics), no_numbers))
    tensors = tensors or known
    if not tensors:
        raise ModelFormatError(
            f"{folder} holds no tensors that can be read",
            found=f"an entry each of {listing(seen)}" if seen else "an empty summary",
            hint="run trtexec with --saveAllDebugTensors=numpy,summary",
        )
    notes = [f"the first iteration was read of {len(again)} later ones"] if again else []
    return LazyDump(folder, "trtexec's debug tensors", tensors, notes)


def _summarised(entry: Mapping[str, Any], statistics: KnownStatistics) -> DumpedTensor:
    shape = tuple(int(size) for size in entry["shape"])
    dtype = _TYPES.get(str(entry.get("type", "")).lower(), "float32")
    return DumpedTensor(str(entry["name"]), shape, dtype, statistics=statistics)


def _with_dtype(tensor: DumpedTensor, word: str) -> DumpedTensor:
    """What it was on the device: bfloat16 is written as float32."""
    dtype = _TYPES.get(word.lower(), tensor.dtype)
    return DumpedTensor(tensor.name, tensor.shape, dtype if dtype == "bfloat16" else tensor.dtype)


def _exported(path: Path) -> Dump:
    document = read_json(path)
    with damage(path, "its outputs"):
        return LazyDump(path, "trtexec's exported outputs", [_output(entry) for entry in document])


def _output(entry: Any) -> tuple[DumpedTensor, Callable[[], Array]]:
    text = str(entry["dimensions"])
    shape = tuple(int(size) for size in text.split("x")) if text else ()
    values = np.asarray(entry["values"], dtype=np.float32).reshape(shape)
    return DumpedTensor(str(entry["name"]), shape, "float32"), lambda: values
