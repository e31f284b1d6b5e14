"""A folder of raw files (.raw, .bin): QNN's and SNPE's Result_N, or anybody's with a manifest.json.

Raw files tell neither shape nor type: a manifest does ({"NAME": {"file", "dtype", "shape", "scale", "zero_point"}}), or
the model that was dumped. SNPE ends names with ":0", QNN's native files with "_native".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.dumps.dump import (
    Dump,
    DumpedTensor,
    LazyDump,
    damage,
    files_of,
    folders_of,
    inside,
    inside_if_there,
    read_json,
    several,
)
from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.graph import Quantization

_SUFFIXES = (".raw", ".bin")
_MANIFEST = "manifest.json"


def recognises(path: Path) -> bool:
    """Whether it is a folder of raw files, or of results that are."""
    return path.is_dir() and bool(files_of(path, *_SUFFIXES) or _results(path))


def _results(path: Path) -> list[Path]:
    return [entry for entry in folders_of(path, "Result_*") if files_of(entry, *_SUFFIXES)]


def open_dump(path: Path) -> Dump:
    """Tensors named as their files, or as the manifest says."""
    results = _results(path)
    if not files_of(path, *_SUFFIXES):
        if len(results) != 1:
            raise several(path, "the results of several inputs", [r.name for r in results], f"name one: {results[0]}")
        path = results[0]
    manifest = inside_if_there(path, _MANIFEST)
    if manifest is not None:
        return _described(path, read_json(manifest))
    tensors = []
    for file in files_of(path, *_SUFFIXES):
        name = file.stem.removesuffix("_native").removesuffix(":0")
        tensors.append((DumpedTensor(name, nbytes=file.stat().st_size), _bytes(file)))
    return LazyDump(path, "a folder of raw files", tensors)


def _bytes(file: Path) -> Callable[[], Array]:
    return lambda: np.fromfile(file, np.uint8)


def _described(path: Path, manifest: Any) -> Dump:
    if not isinstance(manifest, dict) or not all(isinstance(entry, dict) for entry in manifest.values()):
        raise ModelFormatError(
            f"{path / _MANIFEST} does not list tensors",
            found=type(manifest).__name__,
            hint='write {"NAME": {"file": "NAME.raw", "dtype": "float32", "shape": [1, 3, 8, 8]}, …}',
        )
    with damage(path / _MANIFEST, "its entries"):
        return LazyDump(path, "raw files with a manifest", [_entry(path, *item) for item in manifest.items()])


def _entry(path: Path, name: str, entry: dict[str, Any]) -> tuple[DumpedTensor, Callable[[], Array]]:
    file = inside(path, str(entry.get("file", f"{name}.raw")))
    shape = tuple(int(size) for size in entry["shape"])
    word = str(entry.get("dtype", "float32"))
    wide = word != "bfloat16"
    dtype = np.dtype(word if wide else "<u2").newbyteorder("<")
    if dtype.hasobject or int(np.prod(shape)) * dtype.itemsize != file.stat().st_size:
        raise ModelFormatError(
            f"{file} is not as long as {_MANIFEST} says",
            found=f"{file.stat().st_size} bytes for {list(shape)} of {word}",
            hint="correct the manifest, or dump again",
        )
    quantization = None
    if entry.get("scale") is not None:
        scale, zero = (np.atleast_1d(entry.get(key, 0)).tolist() for key in ("scale", "zero_point"))
        quantization = Quantization(tuple(map(float, scale)), tuple(map(int, zero)))

    def read() -> Array:
        array = np.fromfile(file, dtype)
        array = array if wide else (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array.reshape(shape)

    return DumpedTensor(name, shape, word, quantization=quantization), read
