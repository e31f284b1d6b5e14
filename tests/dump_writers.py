"""Dumps as tools write them: format-faithful samples, each writer given tensors by name."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3

import numpy as np


def mangled(name):
    return re.sub(r"[^0-9A-Za-z]", "_", name)


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_folder(path, tensors):
    path.mkdir()
    for name, array in tensors.items():
        np.save(path / f"{mangled(name)}.npy", array)
    return path


def npz(path, tensors):
    np.savez(path.with_suffix(".npz"), **{name.lstrip("/"): array for name, array in tensors.items()})
    return path.with_suffix(".npz")


def safetensors(path, tensors):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def torch_dict(path, tensors):
    import torch

    torch.save({name: torch.tensor(array) for name, array in tensors.items()}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def sglang_pass(path, tensors):
    """TP0_PP0_Rank0_pid1/Pass00000.pt: modules' tensors, in lists where a module gives several."""
    import torch

    folder = path / "TP0_PP0_Rank0_pid1"
    folder.mkdir(parents=True)
    found = {name.strip("/").removesuffix("_output_0"): [torch.tensor(array)] for name, array in tensors.items()}
    torch.save({**found, "model.forward_batch_info.positions": torch.arange(3)}, folder / "Pass00000.pt")
    return folder / "Pass00000.pt"


def raw_folder(path, tensors):
    """SNPE's: Result_0/<name>:0.raw, float32 without a shape."""
    folder = path / "Result_0"
    folder.mkdir(parents=True)
    for name, array in tensors.items():
        array.tofile(folder / f"{mangled(name)}:0.raw")
    return path


def raw_folder_nhwc(path, tensors):
    """QNN's: channels last whatever the model has."""
    return raw_folder(path, {n: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for n, a in tensors.items()})


def raw_manifest(path, tensors):
    path.mkdir()
    manifest = {}
    for number, (name, array) in enumerate(tensors.items()):
        array.tofile(path / f"{number}.bin")
        manifest[name] = {"file": f"{number}.bin", "dtype": str(array.dtype), "shape": list(array.shape)}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def polygraphy(path, tensors):
    """RunResults of 0.53."""
    encoded = {
        name: {
            "values": {"array": base64.b64encode(npy_bytes(array)).decode(), "polygraphy_class": "ndarray"},
            "polygraphy_class": "LazyArray",
        }
        for name, array in tensors.items()
    }
    iteration = {"outputs": encoded, "runtime": 0.1, "runner_name": "trt", "polygraphy_class": "IterationResult"}
    document = {"lst": [["trt-runner", [iteration, iteration]]], "polygraphy_class": "RunResults"}
    path.with_suffix(".json").write_text(json.dumps(document))
    return path.with_suffix(".json")


def polygraphy_old(path, tensors):
    """Arrays as latin-1 text, marked by __polygraphy_encoded_X."""
    encoded = {
        name: {
            "values": {"array": npy_bytes(a).decode("latin-1"), "__polygraphy_encoded_ndarray": "x"},
            "__polygraphy_encoded_LazyNumpyArray": "polygraphy_serialized_json_type",
        }
        for name, a in tensors.items()
    }
    document = {
        "lst": [["trt", [{"outputs": encoded}]]],
        "__polygraphy_encoded_RunResults": "polygraphy_serialized_json_type",
    }
    path.with_suffix(".json").write_text(json.dumps(document))
    return path.with_suffix(".json")


def trtexec(path, tensors):
    path.mkdir()
    entries = []
    for turn in range(2):
        for name, array in tensors.items():
            file = f"{len(entries):04d}_{mangled(name)[:20]}.npy"
            np.save(path / file, array + turn)
            files = {"assigned": file, "numpy": file}
            entries.append(
                {"name": name, "shape": list(array.shape), "type": "FLOAT", "statistics": {}, "files": files}
            )
    (path / "tensor_summary.json").write_text(json.dumps({"metadata": {"engine_name": "e"}, "tensors": entries}))
    return path


def trtexec_summary(path, tensors):
    """--saveAllDebugTensors=summary: numbers of each tensor, and no file."""
    path.mkdir()
    entries = [
        {
            "name": name,
            "shape": list(array.shape),
            "type": "FLOAT",
            "statistics": {
                "min": float(array.min()),
                "max": float(array.max()),
                "avg": float(array.mean()),
                "elements": array.size,
            },
            "files": {"assigned": f"{number:04d}_{mangled(name)}"},
        }
        for number, (name, array) in enumerate(tensors.items())
    ]
    (path / "tensor_summary.json").write_text(json.dumps({"metadata": {"engine_name": "e"}, "tensors": entries}))
    return path


def trtexec_outputs(path, tensors):
    entries = [
        {"name": n, "dimensions": "x".join(map(str, a.shape)), "values": [float(f"{v:.8g}") for v in a.ravel()]}
        for n, a in tensors.items()
    ]
    path.with_suffix(".json").write_text(json.dumps(entries))
    return path.with_suffix(".json")


def onnx_test_data(path, tensors):
    """Inputs and outputs alone: x and y of the model."""
    from onnx import numpy_helper

    folder = path / "test_data_set_0"
    folder.mkdir(parents=True)
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(tensors["x"]).SerializeToString())
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(tensors["y"]).SerializeToString())
    return path


def ort_files(path, tensors):
    from onnx import numpy_helper

    path.mkdir()
    for name, array in tensors.items():
        file = path / f"{mangled(name)}_default_rank_0.tensorproto"
        file.write_bytes(numpy_helper.from_array(array, name).SerializeToString())
    return path


def ort_database(path, tensors):
    from onnx import numpy_helper

    file = path.parent / "execution-trace-pid7.db"
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE Tensors(Step INT, Name TEXT, Value BLOB, DeviceType TEXT, TracedProducer TEXT, "
            "TracedConsumers TEXT)"
        )
        database.execute("CREATE TABLE Nodes(ExecutionCounter INT, Name TEXT, OpType TEXT, ExecutionProvider TEXT)")
        for step in range(2):
            for name, array in tensors.items():
                value = numpy_helper.from_array(array + step, name).SerializeToString()
                database.execute("INSERT INTO Tensors VALUES(?, ?, ?, 'Cpu', '', '')", (step, name, value))
    database.close()
    return file


def msprobe(path, tensors, task="tensor", level="L0"):
    import torch

    folder = path / "step0" / "rank0"
    (folder / "dump_tensor_data").mkdir(parents=True)
    data = {}
    for name, array in tensors.items():
        module = name.strip("/").removesuffix("_output_0").replace("/", ".")
        key = f"Module.{module}.Conv2d." + ("forward.0" if level == "L0" else "0.forward")
        file = f"{key}.output.0.pt"
        entry = {"type": "torch.Tensor", "dtype": "torch.float32", "shape": list(array.shape)}
        entry |= {
            "Max": float(array.max()),
            "Min": float(array.min()),
            "Mean": float(array.mean()),
            "Norm": float(np.linalg.norm(array)),
        }
        if task == "tensor":
            torch.save(torch.tensor(array), folder / "dump_tensor_data" / file)
            entry["data_name"] = file
        data[key] = {"input_args": [], "input_kwargs": {}, "output": [entry]}
        data[key.replace("forward", "backward")] = {"input": [entry], "output": [entry]}
    document = {"task": task, "level": level, "framework": "pytorch", "dump_data_dir": "x", "data": data}
    (folder / "dump.json").write_text(json.dumps(document))
    return folder


def msprobe_l1(path, tensors):
    return msprobe(path, tensors, level="L1")


def transformers_tree(path, tensors):
    from safetensors.numpy import save_file

    path.mkdir()
    children = []
    for name, array in tensors.items():
        module = name.strip("/").removesuffix("_output_0").replace("/", ".")
        file = f"Net_{module}_outputs.safetensors"
        save_file({"data": np.ascontiguousarray(array)}, path / file)
        outputs = {"shape": f"torch.Size({list(array.shape)})", "dtype": "torch.float32", "value": f"./{file}"}
        children.append({"module_path": f"Net.{module}", "inputs": {}, "outputs": outputs, "children": []})
    tree = {"module_path": "Net", "inputs": {}, "outputs": None, "children": children}
    (path / "Net_debug_tree_FULL_TENSORS.json").write_text(json.dumps(tree))
    (path / "Net_debug_tree_SUMMARY.json").write_text(json.dumps(tree))
    return path


def mnn(path, tensors):
    """output/<op>.txt of MNNV2Basic.out, named by the operators."""
    path.mkdir()
    for name, array in tensors.items():
        op = mangled(name.strip("/").removesuffix("_output_0"))
        (path / f"{op}.txt").write_text("\n".join(f"{v:.9g}" for v in array.ravel()))
        (path / f"Input_{op}.txt").write_text("0\n")
    return path


def rknn(path, tensors):
    """accuracy_analysis's snapshot: what the simulator gave, and the golden one beside it."""
    for side, shift in (("golden", 0.5), ("simulator", 0.0)):
        (path / side / "npy").mkdir(parents=True)
        for number, array in enumerate(tensors.values()):
            np.save(path / side / "npy" / f"{number:03d}.npy", array + np.float32(shift))
    lines = [f"{name}\t{number:03d}.npy" for number, name in enumerate(tensors)]
    (path / "map_name_to_file.txt").write_text("\n".join(lines))
    (path / "error_analysis.txt").write_text("layer simulator_error\n")
    return path
