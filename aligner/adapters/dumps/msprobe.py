"""msprobe's dump.json with its tensors, or with statistics alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

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

_FILE = "dump.json"
_FORWARD = re.compile(r"(?:\.forward\.(?P<last>\d+)|\.(?P<first>\d+)\.forward)$")


def recognises(path: Path) -> bool:
    """Whether it is a dump.json of msprobe, or the folder of one."""
    file = inside_if_there(path, _FILE) if path.is_dir() else path
    if file is None or not file.is_file() or file.suffix != ".json":
        return False
    return looks_like_json(file, "task", "level", "data")


def open_dump(path: Path) -> Dump:
    """Outputs of the forward pass by module path, in the order of their calls."""
    file = inside(path, _FILE) if path.is_dir() else path
    document = read_json(file)
    with damage(file, "its entries"):
        found = list(_entries(document["data"]))
        tensors = [_tensor(file.parent, name, entry) for name, entry in found if entry.get("data_name")]
    if not tensors:
        tensors = [known for name, entry in found if (known := _statistics(name, entry)) is not None]
    if not tensors:
        raise ModelFormatError(
            f"{file} holds no tensors and no statistics of any",
            found=f'task "{document.get("task")}": {listing(name for name, _ in found)}',
            hint='dump again with "task": "tensor"',
        )
    return LazyDump(file, "msprobe", tensors)


def _statistics(name: str, entry: Mapping[str, Any]) -> tuple[DumpedTensor, Callable[[], Array]] | None:
    known = KnownStatistics.of(entry, "Max", "Min", "Mean", "Norm")
    if known is None:
        return None
    shape = tuple(int(size) for size in entry.get("shape") or ())
    dtype = str(entry.get("dtype", "float32")).removeprefix("torch.")
    return DumpedTensor(name, shape, dtype, statistics=known), no_numbers


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(module path, what it gave); a later call of a module has its number behind."""
    for key, entry in data.items():
        call = _FORWARD.search(key)
        if call is None or not isinstance(entry, Mapping):
            continue
        number = int(call["last"] or call["first"] or 0)
        kind, _, rest = key[: call.start()].partition(".")
        name = rest.rpartition(".")[0] if kind == "Module" else rest
        outputs = [output for output in entry.get("output") or () if isinstance(output, Mapping)]
        for place, output in enumerate(outputs):
            suffix = f".{place}" if len(outputs) > 1 else ""
            yield (name or kind) + suffix + (f"@{number}" if number else ""), output


def _tensor(folder: Path, name: str, entry: Mapping[str, Any]) -> tuple[DumpedTensor, Callable[[], Array]]:
    file = inside(folder, "dump_tensor_data", str(entry["data_name"]))
    if file.suffix == ".npy":
        return npy(file, name)
    shape = tuple(int(size) for size in entry["shape"])
    return DumpedTensor(name, shape, str(entry["dtype"]).removeprefix("torch.")), lambda: _torch(file)


def _torch(file: Path) -> Array:
    from aligner.adapters.dumps.torch_file import as_array, load

    return as_array(load(file))
