"""The forms a network is deployed in; built once into a folder, found there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.architectures import ARCHITECTURES, Architecture, Feeds

EAGER = "eager"


def build_form(name: str, form: str, folder: Path, seed: int) -> Path:
    """The file of one architecture in one form; raises whatever the exporter raises."""
    path = folder / f"{name}-{seed}-{form}{'.pt' if form in {'trace', 'script'} else '.onnx'}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        _BUILDERS[form](ARCHITECTURES[name], partial, folder, seed)
        partial.rename(path)
    return path


def export(module: Any, architecture: Architecture, form: str, path: Path, feeds: Feeds) -> None:
    """Write a live module in one of the forms that come straight from torch."""
    import torch

    arguments = tuple(torch.from_numpy(array) for array in feeds.values())
    with torch.no_grad():
        if form == "trace":
            torch.jit.save(torch.jit.trace(module, arguments, check_trace=False), str(path))
        elif form == "script":
            torch.jit.save(torch.jit.script(module), str(path))
        else:
            _export_onnx(module, architecture, form, path, arguments)


def _export_onnx(module: Any, architecture: Architecture, form: str, path: Path, arguments: tuple[Any, ...]) -> None:
    import torch

    names: dict[str, Any] = {
        "input_names": list(architecture.shapes),
        "output_names": list(architecture.outputs),
    }
    if form == "dynamo":
        torch.onnx.export(module, arguments, str(path), dynamo=True, external_data=False, verbose=False, **names)
        return
    mode = torch.onnx.TrainingMode.EVAL if form == "folded" else torch.onnx.TrainingMode.PRESERVE
    opset = 13 if form == "opset13" else 17
    torch.onnx.export(module, arguments, str(path), dynamo=False, opset_version=opset, training=mode, **names)


def _from_torch(form: str) -> Callable[[Architecture, Path, Path, int], None]:
    def build(architecture: Architecture, path: Path, folder: Path, seed: int) -> None:  # noqa: ARG001
        export(architecture.module(seed), architecture, form, path, architecture.feeds(seed))

    return build


def _slim(architecture: Architecture, path: Path, folder: Path, seed: int) -> None:
    import onnx
    import onnxslim

    source = build_form(architecture.name, "onnx", folder, seed)
    onnx.save(onnxslim.slim(onnx.load(source)), path)


def _half(architecture: Architecture, path: Path, folder: Path, seed: int) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(build_form(architecture.name, "folded", folder, seed))
    onnx.save(convert_float_to_float16(model, keep_io_types=True), path)


def _integer(architecture: Architecture, path: Path, folder: Path, seed: int) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Calibration(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = [architecture.feeds(seed + extra) for extra in range(4)]

        def get_next(self) -> Any:
            return self.rest.pop(0) if self.rest else None

    source = build_form(architecture.name, "folded", folder, seed)
    quantize_static(
        str(source),
        str(path),
        Calibration(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_exclude=_masked(source, architecture.feeds(seed)),
    )


def _masked(path: Path, feeds: Feeds) -> list[str]:
    """The nodes that make or read tensors with a mask's numbers, which stay in float: the range of such a tensor is the
    mask's, and leaves its other numbers one code of 256. That is a fault of its own, before any that is planted.
    """
    import onnx

    model = onnx.load(path)
    nodes = list(model.graph.node)
    made = [name for node in nodes for name in node.output if name]
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    del seen.graph.output[:]
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    lowest = float(np.finfo(np.float32).min) / 2
    found = run_onnx(seen, feeds)
    masked = {
        name
        for name, array in zip(made, found, strict=True)
        if array.dtype == np.float32 and array.size and array.min() < lowest
    }
    return [node.name for node in nodes if not masked.isdisjoint([*node.input, *node.output])]


_BUILDERS: Mapping[str, Callable[[Architecture, Path, Path, int], None]] = {
    **{form: _from_torch(form) for form in ("trace", "script", "onnx", "folded", "opset13", "dynamo")},
    "slim": _slim,
    "float16": _half,
    "int8": _integer,
}
FORMS = (EAGER, *_BUILDERS)


def run_onnx(model: Any, feeds: Feeds, names: list[str] | None = None) -> list[np.ndarray]:
    """The outputs of an ONNX model, given as a proto or a path."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, (str, Path)) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(names, dict(feeds))]
