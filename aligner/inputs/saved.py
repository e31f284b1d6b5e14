"""What other programs save: pickled tensors, safetensors, dumps of a run's inputs, numbers as text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from aligner.adapters.border import unreadable_input
from aligner.adapters.dumps import formats
from aligner.adapters.dumps.dump import read_json, read_lines
from aligner.adapters.saved_tensors import read_tensors
from aligner.errors import AlignerError, MissingFrameworkError
from aligner.inputs.value import READABLE, Value, checked, plain_array
from aligner.records.array import Array


def read_saved(path: Path) -> Value | dict[str, Array]:
    """The arrays of a file, read by its suffix."""
    return _READERS[path.suffix.lower()](path)


def _read_tensors(path: Path) -> Value | dict[str, Array]:
    loaded = read_tensors(path)
    if isinstance(loaded, dict):
        return {name: plain_array(tensor, f"{path.name}[{name}]") for name, tensor in loaded.items()}
    return plain_array(loaded, path.name)


def _read_safetensors(path: Path) -> Value | dict[str, Array]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        found = "safetensors is not installed"
        raise MissingFrameworkError(
            f"reading {path} needs safetensors", found=found, hint="pip install safetensors"
        ) from error
    try:
        tensors = load_file(path)
    except Exception as error:
        raise unreadable_input(path, error, "save float32 tensors with safetensors") from error
    return {name: checked(_float32_of_bfloat16(array), f"{path.name}[{name}]") for name, array in tensors.items()}


def read_dumped(path: Path) -> dict[str, Array]:
    """What tools save as the inputs of a run: Polygraphy's JSON, an ONNX test data set or one tensor of it, .npy files.

    Tensors that are known to be outputs are left out.
    """
    try:
        dump = formats.open_dump(path)
        given = [place for place, tensor in enumerate(dump.tensors) if tensor.role != "output"]
        arrays = {dump.tensors[place].name: dump.read(place) for place in given}
    except AlignerError as error:
        raise unreadable_input(path, error, READABLE) from error
    return {name: checked(np.array(array), f"{path.name}[{name}]") for name, array in arrays.items()}


def _read_json(path: Path) -> Value | dict[str, Array]:
    """Numbers, in lists or by name, as tokenizers and people write them; else what a tool saved."""
    if formats.is_dump(path):
        return read_dumped(path)
    try:
        document = read_json(path)
    except (AlignerError, OSError) as error:
        raise unreadable_input(path, error, READABLE) from error
    if isinstance(document, dict):
        return {name: plain_array(value, f"{path.name}[{name}]") for name, value in document.items()}
    return plain_array(document, path.name)


def _read_text(path: Path) -> Value:
    """Numbers between spaces and commas, a row on each line."""
    try:
        lines = [re.split(r"[,\s]+", line.strip(" \t\r,")) for line in read_lines(path) if line.strip(" \t\r,")]
        rows = [[_number(word) for word in words] for words in lines]
    except (AlignerError, OSError, ValueError) as error:
        raise unreadable_input(path, error, "write numbers alone, a row on each line") from error
    return plain_array(rows[0] if len(rows) == 1 else rows, path.name)


def _number(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        return float(word)


def _float32_of_bfloat16(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


_READERS = {
    **dict.fromkeys((".pt", ".pth"), _read_tensors),
    ".safetensors": _read_safetensors,
    ".pb": read_dumped,
    ".json": _read_json,
    ".txt": _read_text,
}
