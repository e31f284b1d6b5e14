"""An ONNX file with inner values among its outputs: it runs wherever ONNX runs, and shows them there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.adapters.base import Instrumented, chosen
from aligner.adapters.onnx_adapter.file import OnnxFile
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.adapters.target import real_path
from aligner.errors import UnsupportedModelError

METADATA = "aligner.outputs"
"""The key under which an instrumented file names the outputs that it had before."""
_EXTERNAL = 1


def instrument(path: Path, output: Path, observe: Sequence[str]) -> Instrumented:
    """Promote values of the main graph; what they are called there stays."""
    import onnx

    from aligner.adapters.onnx_adapter.file import read_onnx

    file = read_onnx(path)
    model = onnx.load(path, load_external_data=False)
    if any(tensor.data_location == _EXTERNAL for tensor in model.graph.initializer) and not _same(path, output):
        raise UnsupportedModelError(
            f"{path} keeps weights in files beside it, which the instrumented model has to find too",
            found=f"an output in {output.parent or '.'}",
            hint=f"write it into the same folder: -o {path.with_name(f'{path.stem}.tapped{path.suffix}')}",
        )
    before = [value.name for value in model.graph.output]
    names = [name for node in model.graph.node for name in node.output if name and name not in before]
    constant = {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    shown = chosen([name for name in names if name not in constant], observe, path)
    types = _types(file)
    for name in shown:
        kind = types.get(name)
        if kind is None or kind.tensor:
            model.graph.output.append(_output(name, kind))
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(before)
    onnx.save(model, output)
    notes = (
        "run it as before: what it gave is still its first outputs, the others carry the names of the model's tensors",
        "fusing runtimes may compute promoted tensors by other kernels than unseen ones",
    )
    return Instrumented(tuple(shown), notes)


def as_it_was(file: OnnxFile) -> OnnxFile:
    """An instrumented file as the model that it shows: its first outputs alone are the model's."""
    written = {entry.key: entry.value for entry in file.skeleton.metadata_props}.get(METADATA)
    if written is None:
        return file
    try:
        before = json.loads(written)
    except ValueError:
        return file
    names = [value.name for value in file.skeleton.graph.output]
    if not isinstance(before, list) or not before or names[: len(before)] != before:
        return file
    file = replace(file, skeleton=type(file.skeleton).FromString(file.skeleton.SerializeToString()))
    graph = file.skeleton.graph
    graph.value_info.extend(value for value in graph.output[len(before) :] if value.HasField("type"))
    del graph.output[len(before) :]
    return file


def _same(path: Path, output: Path) -> bool:
    return real_path(path).parent == real_path(output).parent


def _types(file: Any) -> dict[str, ValueType]:
    from aligner.adapters.onnx_adapter.types import infer_types

    return dict(infer_types(file.skeleton, {}, lambda _: {}))


def _output(name: str, kind: ValueType | None) -> Any:
    from onnx import ValueInfoProto, helper

    if kind is None or not kind.element:
        return ValueInfoProto(name=name)  # the runtime infers what it is
    return helper.make_tensor_value_info(name, kind.element, kind.shape)
