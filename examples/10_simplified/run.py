"""A simplifier took away half of the nodes: still the same model; and one that merged two constants: not the same."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.numpy_helper import to_array
from segmenter import segmenter

COMMANDS = (
    "align compare exported.onnx simplified.onnx -i picture.npy",
    "align compare exported.onnx merged.onnx -i picture.npy",
)


def build(folder: Path) -> None:
    """Export with every shape left open, simplify with ONNX Runtime, and merge two constants of a copy."""
    picture = np.random.default_rng(0).standard_normal((1, 3, 48, 64), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            segmenter(), (torch.from_numpy(picture),), str(folder / "exported.onnx"),
            input_names=["picture"], output_names=["classes"], opset_version=17, dynamo=False,
            do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
            dynamic_axes={"picture": {2: "height", 3: "width"}},
        )  # fmt: skip
    np.save(folder / "picture.npy", picture)
    simplify(folder / "exported.onnx", folder / "simplified.onnx", {"height": 48, "width": 64})
    model = onnx.load(folder / "simplified.onnx")
    merge_constants(model, 4.0, 2.0)
    onnx.save(model, folder / "merged.onnx")


def simplify(source: Path, target: Path, sizes: dict[str, int]) -> None:
    """Fix the input's sizes and let ONNX Runtime fold constants and fuse what it can."""
    options = onnxruntime.SessionOptions()
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def merge_constants(model: onnx.ModelProto, kept: float, lost: float) -> None:
    """What a faulty deduplication does: the divisors 4 and 2 have one type and one shape, so they become one."""
    values = {entry.name: to_array(entry) for entry in model.graph.initializer}
    by_value = {float(array): name for name, array in values.items() if array.size == 1 and array.dtype == np.float32}
    for node in model.graph.node:
        if node.op_type == "Div":
            node.input[:] = [by_value[kept] if name == by_value[lost] else name for name in node.input]


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
