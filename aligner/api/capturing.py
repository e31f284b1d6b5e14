"""capture(): record every named intermediate of a model, to compare elsewhere without its framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.api.given_inputs import read_items
from aligner.api.notebook_progress import NotebookProgress
from aligner.execution import memory
from aligner.execution.determinism import undisturbed
from aligner.execution.opening import open_side, side_info
from aligner.inputs import Preprocessing, prepare_feeds
from aligner.records import progress
from aligner.records.comparison import FedInput
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Recording:
    """What was written: where, how many tensors, what was fed."""

    path: Path
    tensors: int
    inputs: tuple[FedInput, ...]
    notes: tuple[str, ...]


@memory.settled()
@undisturbed()
def capture(
    model: object,
    output: Path | str,
    inputs: Any = None,
    *,
    options: OpenOptions | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    format: str | None = None,
) -> Recording:
    """Run a model once and write every intermediate tensor with the graph to ``output`` (.npz or .safetensors).

    ``format`` writes for others what they read, without the graph: "npy" (a folder), "polygraphy" (JSON),
    "onnx-test-data" (a folder of inputs and outputs).

    Raises ModelError, InputError, or OutputError when the file cannot be written; nothing half-written stays.
    """
    from aligner.adapters.dumps.writers import write_dump
    from aligner.adapters.recording_adapter.adapter import write_recording
    from aligner.adapters.recording_adapter.writer import check_output

    items = read_items(inputs)
    check_output(Path(output), format)
    side = open_side("model", model, options or OpenOptions(), seed)
    try:
        fed = prepare_feeds(items, side_info(side), None, preprocessing or Preprocessing(), seed)
        side.feeds = fed.reference
        graph = side.graph
        path = Path(output)
        count = 0

        def counted() -> Any:
            nonlocal count
            for tensor in side.run(None):
                count += 1
                progress.advance(count, len(graph.values))
                yield tensor

        notes = (*fed.notes, *fed.warnings, *side.session.notes)
        with NotebookProgress():
            if format is None:
                write_recording(path, graph, counted(), runtime=side.session.runtime, release=side.close)
            else:
                write_dump(path, format, graph, counted(), dict(fed.reference), release=side.close)
        return Recording(path, count, fed.fed, notes)
    finally:
        side.close()
