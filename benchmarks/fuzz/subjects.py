"""The formats: a whole file of each, how it is changed, and what reads it."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz import mutators as by
from benchmarks.fuzz.dumps import dumped_input, dumped_model, dumps
from benchmarks.fuzz.keras_files import keras_files

_DATA = Path(__file__).resolve().parents[2] / "tests" / "data"


@dataclass(frozen=True)
class Subject:
    """``suffix`` of the file, its bytes as they ought to be, and the reader that must answer for any."""

    suffix: str
    whole: bytes
    mutators: tuple[by.Mutator, ...]
    read: Callable[[Path], Any]

    def write(self, folder: Path, random: Random) -> Path:
        """The file, changed."""
        path = folder / f"case{self.suffix}"
        path.write_bytes(random.choice(self.mutators)(self.whole, random))
        return path

    def kept_whole(self) -> Subject:
        """The same, not changed."""
        return replace(self, mutators=(by.nothing_changed,))


@dataclass(frozen=True)
class FolderSubject:
    """A dump of several files, by their paths in it."""

    files: dict[str, bytes]
    read: Callable[[Path], Any]
    changes: int = 1
    suffix: str = ""

    def write(self, folder: Path, random: Random) -> Path:
        """The folder; one of its files is changed, gone, doubled under another name, or a link that leads out."""
        path = folder / "case"
        files = dict(self.files)
        kind = random.randrange(8) if self.changes else 8
        chosen = random.choice(list(files))
        if kind == 0:
            del files[chosen]
        elif kind == 1:
            files[str(Path(chosen).with_name(random.choice(("x", "0", "a" * 200, "=y", "a\x1bb"))))] = files[chosen]
        elif kind < 7:
            files[chosen] = _by_suffix(chosen, random)(files[chosen], random)
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        if kind == 7:
            (path / chosen).unlink()
            (path / chosen).symlink_to(random.choice(("/etc/passwd", "/dev/zero", "../..", chosen)))
        return path

    def kept_whole(self) -> FolderSubject:
        """The same, not changed."""
        return replace(self, changes=0)


def _by_suffix(name: str, random: Random) -> by.Mutator:
    if name.endswith(".json"):
        return random.choice((by.bytes_changed, by.tree_changed, by.tree_changed))
    if name.endswith(".pt"):
        return random.choice((by.bytes_changed, by.members_changed))
    if name.endswith(".xml"):
        return random.choice((by.bytes_changed, by.text_changed))
    return by.bytes_changed


def subjects() -> dict[str, Subject | FolderSubject]:
    """Every format read, by a word for it."""
    onnx, script = _onnx(), _script()
    arrays, checkpoint = _arrays(), _checkpoint()
    made: dict[str, Subject | FolderSubject] = {
        "onnx": Subject(".onnx", onnx, (by.bytes_changed, by.proto_changed, by.proto_changed), _inspect),
        "onnx run": Subject(".onnx", onnx, (by.proto_changed,), _capture),
        "torchscript": Subject(".pt", script, (by.bytes_changed, by.members_changed, by.members_changed), _inspect),
        "checkpoint": Subject(".pth", checkpoint, (by.bytes_changed, by.members_changed), _checkpoint_read),
        "script as checkpoint": Subject(".pt", script, (by.bytes_changed, by.members_changed), _checkpoint_read),
        "tensor": Subject(".pt", _tensors(), (by.bytes_changed, by.members_changed), _input),
        "npy": Subject(".npy", arrays["npy"], (by.bytes_changed,), _input),
        "npz": Subject(".npz", arrays["npz"], (by.bytes_changed, by.members_changed), _input),
        "recording": Subject(".npz", arrays["npz"], (by.bytes_changed, by.members_changed), _inspect),
        "safetensors": Subject(".safetensors", arrays["safetensors"], (by.bytes_changed,), _input),
        "mapping yaml": Subject(".yaml", b"conv1: conv_1\nrelu: Relu\n", (by.bytes_changed, by.text_changed), _mapping),
        "mapping csv": Subject(
            ".csv", b'reference,candidate\na, b\n"c",d\n', (by.bytes_changed, by.text_changed), _mapping
        ),
        "report": Subject(".json", _report(onnx), (by.bytes_changed, by.tree_changed, by.tree_changed), _faces),
    }
    made |= {
        f"picture {kind}": Subject(f".{kind}", _picture(kind), (by.bytes_changed,), _input)
        for kind in ("png", "jpeg", "bmp", "gif", "tiff", "webp")
    }
    for name in ("tiny_conv_float", "tiny_conv_int8"):
        whole = (_DATA / f"{name}.tflite").read_bytes()
        made[f"tflite {name}"] = Subject(".tflite", whole, (by.bytes_changed, by.words_changed), _inspect)
    if importlib.util.find_spec("openvino"):
        made["openvino"] = FolderSubject(_openvino(), _inspect_ir)
    if importlib.util.find_spec("tensorflow"):
        files = keras_files()
        archive = (by.bytes_changed, by.members_changed, by.members_changed)
        saved = {name.removeprefix("saved/"): data for name, data in files.items() if name.startswith("saved/")}
        made["keras"] = Subject(".keras", files["model.keras"], archive, _inspect)
        made["keras h5"] = Subject(".h5", files["model.h5"], (by.bytes_changed, by.words_changed), _inspect)
        made["savedmodel"] = FolderSubject(saved, _inspect)
    for name, whole in dumps().items():
        for verb, read in (("dump", _dump), ("dump compared", _dump_compared)):
            if isinstance(whole, dict):
                made[f"{verb} {name}"] = FolderSubject(whole, read)
            else:
                suffix = Path(name).suffix
                mutators = (by.bytes_changed, by.tree_changed) if suffix == ".json" else (by.bytes_changed,)
                made[f"{verb} {name}"] = Subject(suffix, whole, mutators, read)
    return made


def _dump(path: Path) -> Any:
    """Every tensor of it."""
    from aligner.adapters.dumps.formats import open_dump

    dump = open_dump(path)
    try:
        return [dump.read(place).shape for place in range(len(dump.tensors))]
    finally:
        dump.close()


def _dump_compared(path: Path) -> Any:
    from aligner.api.comparing import compare

    model = path.with_name("model.onnx")
    model.write_bytes(dumped_model())
    return compare(model, path, dumped_input(), dump_of=model)


def _inspect(path: Path) -> Any:
    from aligner.api.inspecting import inspect

    return inspect(path)


def _inspect_ir(path: Path) -> Any:
    model = path / "model.xml"
    return None if model.is_symlink() else _inspect(model)  # the file itself is what a user names


def _openvino() -> dict[str, bytes]:
    import tempfile

    import numpy as np
    import openvino
    import openvino.opset13 as build

    x = build.parameter([1, 3, 8, 8], np.float32, name="x")
    conv = build.convolution(x, np.ones((2, 3, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1], name="conv")
    pooled = build.max_pool(build.relu(conv), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    model = openvino.Model([build.result(build.softmax(pooled.output(0), 1))], [x], "model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, str(path))
        return {path.with_suffix(suffix).name: path.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}


def _capture(path: Path) -> Any:
    from aligner.api.capturing import capture

    return capture(path, path.with_name("out.npz"))


def _checkpoint_read(path: Path) -> Any:
    from aligner.adapters.pytorch_adapter.checkpoint import read_checkpoint

    return read_checkpoint(path)


def _input(path: Path) -> Any:
    from aligner.inputs.files import read_file

    return read_file(path)


def _mapping(path: Path) -> Any:
    from aligner.alignment.mapping import read_mapping

    return read_mapping(path)


def _faces(path: Path) -> Any:
    """A report, read and shown in every way."""
    from rich.console import Console

    from aligner.report import csv_table, html, junit, markdown, model_explorer, sarif, terminal
    from aligner.report.json_document import read_json, write_json

    comparison = read_json(path)
    out = io.StringIO()
    terminal.print_comparison(comparison, Console(file=out, width=100), full=True, quiet=False, pictures=True)
    for write in (
        csv_table.write_csv,
        html.write_html,
        junit.write_junit,
        markdown.write_markdown,
        sarif.write_sarif,
        model_explorer.write_node_data,
        write_json,
    ):
        write(comparison, out)
    if "\x1b" in out.getvalue():
        raise AssertionError("a control character in a report")
    return comparison


def _onnx() -> bytes:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "w")
    branch = helper.make_graph(
        [helper.make_node("Neg", ["r"], ["n"])], "then", [], [helper.make_tensor_value_info("n", 1, None)]
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Constant", [], ["t"], value=helper.make_tensor("k", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["t"], ["i"], "if", then_branch=branch, else_branch=branch),
        helper.make_node("F", ["i"], ["y"], "call", domain="own"),
    ]
    function = helper.make_function(
        "own", "F", ["a"], ["b"], [helper.make_node("Abs", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets, functions=[function]).SerializeToString()


def _script() -> bytes:
    import torch

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()).eval()
    target = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.ones(1, 3, 8, 8)), target)
    return target.getvalue()


def _checkpoint() -> bytes:
    import torch

    target = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(2, 3), "bias": torch.ones(2)[:1]}, "epoch": 3}, target)
    return target.getvalue()


def _tensors() -> bytes:
    import torch

    target = io.BytesIO()
    torch.save({"x": torch.ones(2, 3), "y": torch.ones(1).expand(4)}, target)
    return target.getvalue()


def _arrays() -> dict[str, bytes]:
    import numpy as np
    from safetensors.numpy import save

    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = {"npy": io.BytesIO(), "npz": io.BytesIO()}
    np.save(found["npy"], array)
    np.savez(found["npz"], x=array, y=array[0])
    return {name: target.getvalue() for name, target in found.items()} | {"safetensors": save({"x": array})}


def _picture(kind: str) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(target, kind)
    return target.getvalue()


def _report(onnx: bytes) -> bytes:
    import tempfile

    from aligner.api.comparing import CompareOptions, run_comparison
    from aligner.report.json_document import write_json

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(onnx)
        target = io.StringIO()
        write_json(run_comparison(path, path, None, CompareOptions()), target)
    return target.getvalue().encode()
