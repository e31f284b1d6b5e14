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
def executorch(*, delegated: bool = False) -> bytes:
    """A convolution, an activation and a dense layer, by portable kernels or by XNNPACK's."""
    from aligner.adapters.executorch_adapter.library import executorch as imported

    imported()  # without what it logs of parts that are not for this machine
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    layers = torch.nn.Conv2d(3, 2, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(72, 4)
    exported = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.ones(1, 3, 8, 8),))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()] if delegated else [])
    written: bytes = lowered.to_executorch().buffer
    return written


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


@apart
def decoder() -> bytes:
    """An embedding, a cache that grows by what is new, scores."""
    import numpy as np
    from onnx import helper, numpy_helper

    weights = {"table": np.eye(20, 8, dtype=np.float32), "head": np.eye(8, 20, dtype=np.float32)}
    sizes = {"heads": [1, -1, 2, 4], "flat": [1, 1, 8]}
    kept = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    kept += [numpy_helper.from_array(np.array(size), name) for name, size in sizes.items()]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        helper.make_node("Reshape", ["x", "heads"], ["split"]),
        helper.make_node("Transpose", ["split"], ["new"], perm=[0, 2, 1, 3]),
        helper.make_node("Concat", ["past.0.key", "new"], ["present.0.key"], axis=2),
        helper.make_node("ReduceMean", ["present.0.key"], ["mean"], axes=[2]),
        helper.make_node("Reshape", ["mean", "flat"], ["m"]),
        helper.make_node("Add", ["x", "m"], ["y"]),
        helper.make_node("MatMul", ["y", "head"], ["logits"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("input_ids", 7, [1, "n"]), value("past.0.key", 1, [1, 2, "past", 4])]
    outputs = [value("logits", 1, [1, "n", 20]), value("present.0.key", 1, [1, 2, "all", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, kept)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


@apart
def tokenizer() -> bytes:
    """Three words, told apart by blanks."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2}, unk_token="a"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    text: str = made.to_str()
    return text.encode()


@apart
def shards(word: str = "x") -> dict[str, bytes]:
    """Two files of weights, and the index that names them; a word stands in a name."""
    import json

    import numpy as np
    from safetensors.numpy import save

    files = {
        "a.safetensors": {f"model.{word}": np.ones((2, 3), np.float32)},
        "b.safetensors": {"y": np.zeros(4, np.float16)},
    }
    index = {"weight_map": {name: file for file, held in files.items() for name in held}}
    return {name: save(held) for name, held in files.items()} | {
        "model.safetensors.index.json": json.dumps(index).encode()
    }


@apart
def gguf(word: str = "output_norm") -> bytes:
    """A plain tensor and one of blocks; a word stands in a name."""
    import tempfile

    import gguf as library
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        writer = library.GGUFWriter(Path(folder) / "m.gguf", "llama")
        writer.add_block_count(1)
        writer.add_array("some.words", ["a", "b"])
        writer.add_tensor(f"{word}.weight", np.ones(6, np.float32))
        quants = library.quants.quantize(np.ones((2, 32), np.float32), library.GGMLQuantizationType.Q8_0)
        writer.add_tensor("output.weight", quants, raw_dtype=library.GGMLQuantizationType.Q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return (Path(folder) / "m.gguf").read_bytes()


@apart
def ncnn(word: str = "") -> dict[str, bytes]:
    """A convolution, a norm, what lets two read one blob, a constant, a sum; a word stands in names."""
    import numpy as np

    lines = (
        "Input x 0 1 x",
        "Convolution conv 1 1 x c 0=2 1=3 4=1 5=1 6=54 9=2 -23310=1,0.1",
        f"BatchNorm norm{word} 1 1 c n{word} 0=2 1=0.01",
        f"Split two 1 2 n{word} n1 n2",
        "MemoryData k 0 1 k 0=2",
        "Pooling pool 1 1 n1 p 0=1 4=1",
        "BinaryOp sum 2 1 p k s 0=0",
        "InnerProduct dense 1 1 s d 0=3 1=1 2=6",
        "Softmax soft 1 1 d y 0=0 1=1",
        "Sigmoid other 1 1 n2 z",
    )
    tag = np.zeros(1, np.int32).tobytes()
    one = [np.ones(count, np.float32).tobytes() for count in (54, 2, 2, 2, 2, 2, 2, 6, 3)]
    return {
        "model.param": "\n".join(["7767517", f"{len(lines)} 11", *lines, ""]).encode(),
        "model.bin": b"".join([tag, one[0], *one[1:7], tag, *one[7:]]),
    }
