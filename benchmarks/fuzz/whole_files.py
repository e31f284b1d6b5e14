"""A small whole file of each format, as its own writer makes it."""

from __future__ import annotations

import io
from pathlib import Path

from benchmarks.fuzz.apart import apart


@apart
def openvino() -> dict[str, bytes]:
    """An IR's two files."""
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


@apart
def onnx() -> bytes:
    """A branch, a function of its own, a weight."""
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


@apart
def script() -> bytes:
    """A traced convolution."""
    import torch

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()).eval()
    target = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.ones(1, 3, 8, 8)), target)
    return target.getvalue()


@apart
def checkpoint() -> bytes:
    """A state_dict among other things."""
    import torch

    target = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(2, 3), "bias": torch.ones(2)[:1]}, "epoch": 3}, target)
    return target.getvalue()


@apart
def tensors() -> bytes:
    """Two tensors by name."""
    import torch

    target = io.BytesIO()
    torch.save({"x": torch.ones(2, 3), "y": torch.ones(1).expand(4)}, target)
    return target.getvalue()


@apart
def arrays() -> dict[str, bytes]:
    """numpy's and safetensors' files."""
    import numpy as np
    from safetensors.numpy import save

    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = {"npy": io.BytesIO(), "npz": io.BytesIO()}
    np.save(found["npy"], array)
    np.savez(found["npz"], x=array, y=array[0])
    return {name: target.getvalue() for name, target in found.items()} | {"safetensors": save({"x": array})}


@apart
def picture(kind: str) -> bytes:
    """24 × 16 pixels."""
    from PIL import Image

    target = io.BytesIO()
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(target, kind)
    return target.getvalue()


@apart
def report() -> bytes:
    """A comparison's JSON."""
    import tempfile

    from aligner.api.comparing import CompareOptions, run_comparison
    from aligner.report.json_document import write_json

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(onnx())
        target = io.StringIO()
        write_json(
            run_comparison(path, path, None, CompareOptions(command="align compare m.onnx m.onnx --seed 3")), target
        )
    return target.getvalue().encode()


@apart
def external_onnx() -> dict[str, bytes]:
    """model.onnx, and its weight in a file beside it."""
    import tempfile

    import onnx as library

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model = library.ModelProto.FromString(onnx())
        library.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.onnx", "w.bin")}


@apart
def exported() -> bytes:
    """A program of torch.export with a size that varies."""
    import torch

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()).eval()
    sizes = ({0: torch.export.Dim("batch", min=1, max=8)},)
    target = io.BytesIO()
    torch.export.save(torch.export.export(module, (torch.ones(2, 3, 8, 8),), dynamic_shapes=sizes), target)
    return target.getvalue()


@apart
def sweep() -> bytes:
    """Two samples of one model."""
    import tempfile

    import numpy as np

    from aligner.api.sweeping import SweepOptions, run_sweep
    from aligner.inputs.samples import samples_of
    from aligner.report.sweep_document import write_sweep

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(onnx())
        target = io.StringIO()
        samples = list(samples_of([np.ones((1, 3, 8, 8), np.float32)] * 2))
        write_sweep(run_sweep(path, path, samples, SweepOptions(total=len(samples))), target)
    return target.getvalue().encode()
