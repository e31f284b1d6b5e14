"""Tensors by name in the formats that devices' tools write."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Array]


def write(folder: Path, how: str, tensors: Tensors, precision: str = "float32") -> Path:
    """Write the tensors into a new folder; returns what a user would name.

    ``precision`` as it is stored where a format can: bfloat16 in raw files, int8 with its scale in a manifest.
    """
    folder.mkdir(parents=True)
    if how in {"raw", "manifest"} and precision in {"bfloat16", "int8"}:
        return _few_bits(folder, tensors, how, precision)
    return _WRITERS[how](folder, tensors)


def _file(name: str) -> str:
    """A name as a file of that name can be called."""
    return re.sub(r"[/\\:]", "_", name)[:200]


def _npy(folder: Path, tensors: Tensors) -> Path:
    for name, array in tensors.items():
        np.save(folder / f"{_file(name)}.npy", array)
    return folder


def _npz(folder: Path, tensors: Tensors) -> Path:
    arrays: dict[str, Any] = {name.lstrip("/"): array for name, array in tensors.items()}
    np.savez(folder / "dump.npz", **arrays)
    return folder / "dump.npz"


def _safetensors(folder: Path, tensors: Tensors) -> Path:
    from safetensors.numpy import save_file

    save_file(dict(tensors), folder / "dump.safetensors")
    return folder / "dump.safetensors"


def _raw(folder: Path, tensors: Tensors) -> Path:
    for name, array in tensors.items():
        array.tofile(folder / f"{_file(name)}.raw")
    return folder


def _manifest(folder: Path, tensors: Tensors) -> Path:
    entries = {}
    for number, (name, array) in enumerate(tensors.items()):
        array.tofile(folder / f"{number}.bin")
        entries[name] = {"file": f"{number}.bin", "dtype": str(array.dtype), "shape": list(array.shape)}
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def _few_bits(folder: Path, tensors: Tensors, how: str, precision: str) -> Path:
    entries: dict[str, Any] = {}
    for name, array in tensors.items():
        if precision == "int8" and how == "raw":
            array.tofile(folder / f"{_file(name)}.raw")  # nothing would tell the scale
            continue
        entry = {"file": f"{_file(name)}.raw", "dtype": str(array.dtype), "shape": list(array.shape)}
        stored = array
        if array.dtype == np.float32 and precision == "bfloat16":
            stored = (np.ascontiguousarray(array).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
            entry["dtype"] = precision
        elif array.dtype == np.float32:
            scale = float(np.abs(array).max(initial=0.0)) / 127 or 1.0
            stored = np.rint(array / scale).astype(np.int8)
            entry |= {"dtype": precision, "scale": scale, "zero_point": 0}
        stored.tofile(folder / str(entry["file"]))
        entries[name] = entry
    if how == "manifest":
        (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def _polygraphy(folder: Path, tensors: Tensors) -> Path:
    outputs = {}
    for name, array in tensors.items():
        content = io.BytesIO()
        np.save(content, array)
        values = {"array": base64.b64encode(content.getvalue()).decode(), "polygraphy_class": "ndarray"}
        outputs[name] = {"values": values, "polygraphy_class": "LazyArray"}
    iteration = {"outputs": outputs, "runtime": 0.1, "runner_name": "trt", "polygraphy_class": "IterationResult"}
    document = {"lst": [["trt", [iteration]]], "polygraphy_class": "RunResults"}
    (folder / "outputs.json").write_text(json.dumps(document))
    return folder / "outputs.json"


def _trtexec(folder: Path, tensors: Tensors) -> Path:
    entries = []
    for number, (name, array) in enumerate(tensors.items()):
        file = f"{number:04d}_{re.sub('[^0-9A-Za-z._,-]', '_', name)[:150]}.npy"
        np.save(folder / file, array)
        word = {"float32": "FLOAT", "float16": "HALF"}.get(str(array.dtype), str(array.dtype).upper())
        entries.append({"name": name, "shape": list(array.shape), "type": word, "files": {"numpy": file}})
    document = {"metadata": {"engine_name": "model.plan"}, "tensors": entries}
    (folder / "tensor_summary.json").write_text(json.dumps(document))
    return folder


_WRITERS: Mapping[str, Callable[[Path, Tensors], Path]] = {
    "npy": _npy,
    "npz": _npz,
    "safetensors": _safetensors,
    "raw": _raw,
    "manifest": _manifest,
    "polygraphy": _polygraphy,
    "trtexec": _trtexec,
}
