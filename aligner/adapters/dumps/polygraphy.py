"""Polygraphy's --save-outputs and --save-inputs: JSON with arrays inside, of this and of older versions."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump, damage, looks_like_json, read_json
from aligner.errors import ModelFormatError, listing
from aligner.records.array import Array

_MARKS = ("polygraphy_class", "__polygraphy_encoded_RunResults", "polygraphy_serialized_json_type")


def recognises(path: Path) -> bool:
    """Whether it is JSON that Polygraphy marked as its own."""
    return path.is_file() and any(looks_like_json(path, mark) for mark in _MARKS)


def open_dump(path: Path) -> Dump:
    """The outputs of the first runner's first iteration; inputs saved alone are a dump of inputs."""
    document = read_json(path)
    with damage(path, "its run results"):
        if isinstance(document, list):
            named = {str(name): value for name, value in (document[0] if document else {}).items()}
            notes = _others("iterations", [f"iteration {n}" for n in range(1, len(document))])
            writer = "Polygraphy's inputs"
        else:
            runners = document["lst"]
            if not runners or not runners[0][1]:
                raise ModelFormatError(f"{path} holds no results", found="no runner", hint="run Polygraphy again")
            (runner, iterations), *others = runners
            named = _outputs(iterations[0])
            notes = [
                *_others("runners", [name for name, _ in others]),
                *_others("iterations", [f"iteration {n}" for n in range(1, len(iterations))]),
            ]
            writer = f"Polygraphy's run results ({runner})"
        return LazyDump(path, writer, list(_tensors(path, named)), notes)


def _others(what: str, names: list[str]) -> list[str]:
    return [f"the dump holds other {what} too, which were left out: {listing(names)}"] if names else []


def _outputs(iteration: Mapping[str, Any]) -> dict[str, Any]:
    found = iteration["outputs"] if "outputs" in iteration else iteration.get("dct", iteration)
    return {str(name): value for name, value in found.items() if isinstance(value, Mapping)}


def _tensors(path: Path, named: Mapping[str, Any]) -> Iterator[tuple[DumpedTensor, Callable[[], Array]]]:
    for name, value in named.items():
        with damage(path, name):
            array = _array(value)
        yield DumpedTensor(name, tuple(array.shape), array.dtype.name), lambda array=array: array  # type: ignore[misc]


def _array(value: Any) -> Array:
    """An encoded array, however deep it is wrapped: LazyArray, LazyNumpyArray, ndarray, Tensor."""
    while isinstance(value, Mapping) and "values" in value:
        value = value["values"]
    if isinstance(value, Mapping) and "tensor" in value:
        return _torch(_bytes(value["tensor"]))
    encoded = value["array"] if isinstance(value, Mapping) else value
    array: Array = np.load(io.BytesIO(_bytes(encoded)), allow_pickle=False)
    return array


def _bytes(text: str) -> bytes:
    """base64, or, in old files, the bytes themselves as latin-1."""
    raw = text.encode("latin-1", errors="strict")
    return raw if raw.startswith((b"\x93NUMPY", b"PK")) else base64.b64decode(raw)


def _torch(content: bytes) -> Array:
    from aligner.adapters.dumps.torch_file import as_array, load

    return as_array(load(io.BytesIO(content)))  # type: ignore[arg-type]
