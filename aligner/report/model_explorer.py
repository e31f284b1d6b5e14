"""Node data that Model Explorer lays over the candidate's graph: local errors in one file, accumulated in another.

A node is found by its output tensor's name or by its own; both are written, since formats differ in which they show.
Nodes that an ONNX file leaves without a name are not found: Model Explorer numbers them in a way of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from aligner.records.comparison import Comparison, Errors, Pair
from aligner.report.document_file import write_document

_COLOURS = {
    "aligned": ("#c8e6c9", "#000000"),
    "introduced": ("#c62828", "#ffffff"),
    "inherited": ("#ffe082", "#000000"),
    "nonfinite": ("#c62828", "#ffffff"),
    "nondeterministic": ("#e1bee7", "#000000"),
    "incomparable": ("#b2ebf2", "#000000"),
}


def write_node_data(comparison: Comparison, target: Path | TextIO) -> None:
    """Write local errors to ``FILE.json`` and accumulated ones beside it, to ``FILE.accumulated.json``.

    A stream gets the local errors alone. Raises OutputError where a file cannot be written.
    """
    write_document(to_node_data(comparison, "local"), target)
    if isinstance(target, Path):
        write_document(to_node_data(comparison, "accumulated"), beside(target))


def beside(target: Path) -> Path:
    """The second file."""
    return target.parent / f"{target.stem}.accumulated{target.suffix}"


def to_node_data(comparison: Comparison, which: str) -> dict[str, Any]:
    """``GraphNodeData`` of ``model_explorer.node_data_builder``: the largest error of each node of the candidate.

    A number that is not finite is written as the words "not finite", which Model Explorer shows as text.
    """
    results: dict[str, Any] = {}
    for pair in comparison.pairs:
        errors: Errors | None = getattr(pair, which)
        if errors is not None:
            entry = _entry(pair, errors)
            for key in _keys(pair):
                results[key] = entry
    return {"name": f"aligner: {which} error", "results": results}


def _keys(pair: Pair) -> Iterator[str]:
    """What a node may be called: TFLite files show its tensors, ONNX files its name, their inputs "[value] name"."""
    side = pair.candidate
    yield from filter(None, (side.node, side.name))
    if side.op == "input":
        yield f"[value] {side.name}"


def _entry(pair: Pair, errors: Errors) -> dict[str, Any]:
    background, text = _COLOURS[pair.verdict]
    value: float | str = errors.max_abs if math.isfinite(errors.max_abs) else "not finite"
    return {"value": value, "bgColor": background, "textColor": text}
