"""Whole tools: onnxruntime's optimiser, onnxslim, the opset converter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.graph import Graph, from_proto, to_proto


def _optimised(graph: Graph, rng: np.random.Generator) -> Any:
    import onnx
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = [levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_EXTENDED][int(rng.integers(2))]
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(to_proto(graph).SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _slimmed(graph: Graph, rng: np.random.Generator) -> Any:  # noqa: ARG001
    import contextlib
    import io

    import onnxslim

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return onnxslim.slim(to_proto(graph))


def _converted(graph: Graph, rng: np.random.Generator) -> Any:
    from onnx import version_converter

    return version_converter.convert_version(to_proto(graph), int(rng.integers(graph.opset + 1, 23)))


TOOLS: Mapping[str, Callable[[Graph, np.random.Generator], Any]] = {
    "onnxruntime_optimised": _optimised,
    "onnxslim": _slimmed,
    "opset_converted": _converted,
}


def through_tool(graph: Graph, name: str, rng: np.random.Generator) -> Graph | None:
    """What a tool makes of a graph; None where it fails or writes what cannot be edited further."""
    try:
        made = from_proto(TOOLS[name](graph, rng), graph.feeds)
        made.values  # noqa: B018 - a file that does not run is no conversion
    except Exception:  # noqa: BLE001 - whatever a tool raises on its own
        return None
    return made if set(made.outputs) == set(graph.outputs) else None
