"""Write a run in the formats of others: a folder of .npy, Polygraphy's JSON, an ONNX test data set."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from aligner.errors import MissingFrameworkError, OutputError
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.partial import delete, partial_of
from aligner.records.tensor import CapturedTensor

FORMATS = ("npy", "polygraphy", "onnx-test-data")


def write_dump(
    path: Path,
    how: str,
    graph: Graph,
    tensors: Iterable[CapturedTensor],
    feeds: dict[str, Array],
    release: Callable[[], None],
) -> None:
    """Write captured tensors to ``path`` as ``how`` says; it appears whole or not at all.

    Quantised tensors are written as the numbers that they stand for. ``release`` is called before it appears. Raises
    OutputError where it cannot be written.
    """
    if path.exists():
        raise OutputError(f"cannot write {path}", found="it exists already", hint="name a new folder or file")
    made = partial_of(path)
    try:
        _WRITERS[how](made, graph, tensors, feeds)
        release()
        made.rename(path)
    except OSError as error:
        raise OutputError.of(
            f"cannot write {path}",
            error,
            "name a place in an existing folder that you may write to, with enough free space",
        ) from error
    finally:
        delete(made)


def _npy(made: Path, graph: Graph, tensors: Iterable[CapturedTensor], feeds: dict[str, Array]) -> None:
    """A file for each tensor; index.json tells the names that a file name cannot hold."""
    del graph, feeds
    made.mkdir()
    index: dict[str, str] = {}
    for number, tensor in enumerate(tensors):
        array = tensor.real()
        if array.dtype.kind not in "fiubc":
            continue
        file = f"{number:05d}_{''.join(c if c.isalnum() and c.isascii() else '_' for c in tensor.value)[:100]}.npy"
        np.save(made / file, array)
        index[file] = f"{tensor.value}@{tensor.occurrence}" if tensor.occurrence else tensor.value
    (made / "index.json").write_text(json.dumps(index, indent=1))


def _polygraphy(made: Path, graph: Graph, tensors: Iterable[CapturedTensor], feeds: dict[str, Array]) -> None:
    """RunResults of one runner and one iteration, written tensor by tensor."""
    del graph, feeds
    with made.open("w", encoding="ascii") as file:
        file.write('{"lst": [["aligner", [{"outputs": {')
        separator = ""
        for tensor in tensors:
            array = tensor.real()
            if array.dtype.kind not in "fiub" or tensor.occurrence:
                continue
            content = io.BytesIO()
            np.save(content, array)
            values = {"array": base64.b64encode(content.getvalue()).decode(), "polygraphy_class": "ndarray"}
            entry = {"values": values, "polygraphy_class": "LazyArray"}
            file.write(f"{separator}{json.dumps(tensor.value)}: {json.dumps(entry)}")
            separator = ", "
        file.write('}, "runtime": 0.0, "runner_name": "aligner", "polygraphy_class": "IterationResult"}]]], ')
        file.write('"polygraphy_class": "RunResults"}')


def _test_data(made: Path, graph: Graph, tensors: Iterable[CapturedTensor], feeds: dict[str, Array]) -> None:
    """test_data_set_0 with the inputs and outputs of the run."""
    try:
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingFrameworkError(
            "an ONNX test data set cannot be written without onnx", found=str(error), hint='pip install "aligner[onnx]"'
        ) from error
    folder = made / "test_data_set_0"
    folder.mkdir(parents=True)
    places: Sequence[str] = graph.outputs
    for place, (name, array) in enumerate(feeds.items()):
        (folder / f"input_{place}.pb").write_bytes(numpy_helper.from_array(array, name).SerializeToString())
    for tensor in tensors:
        if tensor.value in places and not tensor.occurrence:
            content = numpy_helper.from_array(tensor.array, tensor.value).SerializeToString()
            (folder / f"output_{places.index(tensor.value)}.pb").write_bytes(content)


_WRITERS: dict[str, Callable[[Path, Graph, Iterable[CapturedTensor], dict[str, Array]], None]] = {
    "npy": _npy,
    "polygraphy": _polygraphy,
    "onnx-test-data": _test_data,
}
