"""An ONNX test data set: input_0.pb, output_0.pb …, numbered as the graph's inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump, files_of, folders_of, several
from aligner.adapters.dumps.tensor_proto import proto_file
from aligner.records.array import Array

_NUMBERED = re.compile(r"(input|output)_(\d{1,4})\.pb")
_SET = "test_data_set_*"


def recognises(path: Path) -> bool:
    """Whether it is such a folder or a file of one, or the folder of a model with its data sets."""
    if _NUMBERED.fullmatch(path.name) and path.is_file():
        return True
    return path.is_dir() and (bool(_files(path)) or any(_files(entry) for entry in folders_of(path, _SET)))


def _files(path: Path) -> list[Path]:
    return [file for file in files_of(path, ".pb") if _NUMBERED.fullmatch(file.name)]


def open_dump(path: Path) -> Dump:
    """Inputs and outputs, by position and by the names that they carry."""
    if path.is_file():
        return LazyDump(path, "a tensor of an ONNX test data set", [_tensor(path)])
    if not _files(path):
        sets = [entry for entry in folders_of(path, _SET) if _files(entry)]
        if len(sets) != 1:
            raise several(path, "several data sets", [entry.name for entry in sets], f"name one: {sets[0]}")
        path = sets[0]
    files = sorted(_files(path), key=lambda file: (file.name.partition("_")[0], len(file.name), file.name))
    return LazyDump(path, "an ONNX test data set", [_tensor(file) for file in files])


def _tensor(file: Path) -> tuple[DumpedTensor, Callable[[], Array]]:
    match = _NUMBERED.fullmatch(file.name)
    assert match is not None
    return proto_file(file, "input" if match[1] == "input" else "output", int(match[2]))
