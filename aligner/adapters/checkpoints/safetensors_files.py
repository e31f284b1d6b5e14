"""safetensors, one file or the shards of a folder, by memory map: the header is JSON, what follows are the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.border import OF_CONTENT
from aligner.adapters.checkpoints.checkpoint import Checkpoint, StoredTensor
from aligner.adapters.target import real_path
from aligner.errors import AlignerError, ModelFormatError, listing
from aligner.records.array import Single
from aligner.records.regular_file import read_regular

_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors' own limit."""
_TYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U8": "u1", "U16": "u2", "U32": "u4", "U64": "u8", "BOOL": "?",
}  # fmt: skip
_WORDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}


def read(target: Path) -> Checkpoint:
    """The tensors of a file, of the shards that an index names, or of all files of a folder."""
    found: dict[str, StoredTensor] = {}
    for file, wanted in _files(target).items():
        for name, tensor in _tensors(file).items():
            if wanted is not None and name not in wanted:
                continue
            if name in found:
                raise _wrong(target, f"{name} stands in two files", "leave one of them, or write an index")
            found[name] = tensor
        missing = sorted((wanted or set()) - set(found))
        if missing:
            raise _wrong(target, f"the index promises {listing(missing)} in {file.name}", "download that file again")
    many = len(_files(target))
    return Checkpoint(str(target), "safetensors" if many == 1 else f"safetensors, {many} files", found)


def _files(target: Path) -> Mapping[Path, set[str] | None]:
    if target.is_file():
        return {target: None}
    indices = sorted(target.glob("*.safetensors.index.json"))
    if not indices:
        return dict.fromkeys(_own(target, file) for file in sorted(target.glob("*.safetensors")))
    try:
        places = json.loads(read_regular(_own(target, indices[0])))["weight_map"]
        files: dict[Path, set[str] | None] = {}
        for name, file in places.items():
            if Path(file).name != file:
                raise _wrong(target, f"its index names {file!r}", "shards lie beside the index")
            part = files.setdefault(_own(target, target / file), set())
            assert part is not None
            part.add(name)
    except AlignerError:
        raise
    except (OSError, *OF_CONTENT) as error:
        raise _wrong(indices[0], f"{type(error).__name__}: {error}", "write the index again") from error
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise _wrong(target, f"{listing(absent)}: not there", "download the shards that are missing")
    return files


def _own(folder: Path, file: Path) -> Path:
    """The file, which must lie in the folder that names it, or in the store of the hub's cache."""
    places = (folder, *beside(folder))
    if not any(real_path(file).is_relative_to(real_path(place)) for place in places):
        raise _wrong(folder, f"{file.name} leads out of the folder", "copy the files in place of links")
    return file


def beside(folder: Path) -> list[Path]:
    """Where files of a folder of the Hugging Face cache lie: snapshots/REVISION links into blobs."""
    folder = folder.absolute()
    return [folder.parents[1] / "blobs"] if folder.parent.name == "snapshots" else []


def _tensors(file: Path) -> dict[str, StoredTensor]:
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(_LONGEST_HEADER, size):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        return {name: _tensor(name, entry, file, 8 + length, size) for name, entry in header.items()}
    except (OSError, *OF_CONTENT) as error:
        raise _wrong(file, str(error), "download it again; the copy may have been cut off") from error


def _tensor(name: str, entry: Any, file: Path, start: int, size: int) -> StoredTensor:
    word, shape = entry["dtype"], tuple(int(dim) for dim in entry["shape"])
    begin, end = (int(place) for place in entry["data_offsets"])
    if word not in _TYPES:
        raise ValueError(f"{name} is stored as {word}, which is not read yet")
    width = {"?": 1}.get(_TYPES[word]) or int(_TYPES[word][1])
    if min(shape, default=1) < 0 or begin < 0 or end - begin != math.prod(shape) * width or start + end > size:
        raise ValueError(f"{name} of shape {list(shape)} does not fit into its place")
    rows = partial(_rows, file, start + begin, word, shape)
    return StoredTensor(name, shape, _WORDS.get(word, word.lower()), rows)


def _rows(file: Path, place: int, word: str, shape: tuple[int, ...], first: int, last: int) -> Single:
    kind, inner = np.dtype(_TYPES[word]), shape[1:] if shape else ()
    step = math.prod(inner)
    raw = np.fromfile(file, kind, (last - first) * step, offset=place + first * step * kind.itemsize)
    if word == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(raw.reshape((last - first, *inner) if shape else ()), np.float32)


def _wrong(path: Path, found: str, hint: str) -> ModelFormatError:
    return ModelFormatError(f"{path} is no checkpoint that can be read", found=found, hint=hint)
