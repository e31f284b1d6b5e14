"""A float model and its int8 twin: the noise that quantisation must make, and one tensor with a bad range."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from classifier import SIZE, classifier
from onnx.numpy_helper import from_array, to_array
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

COMMANDS = (
    "align compare float.onnx int8.onnx -i picture.npy",
    "align compare float.onnx badly_calibrated.onnx -i picture.npy",
)
CLIPPED = "/block1/Relu_output_0"
"""The tensor whose range the second twin gets wrong."""


class Pictures(CalibrationDataReader):
    """A dozen pictures [1, 3, 32, 32] in -1..1, smooth with some grain."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        coarse = random.uniform(-1, 1, (12, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
        grain = random.uniform(-1, 1, coarse.shape)
        self.pictures = [picture[None].astype(np.float32) for picture in 0.8 * coarse + 0.2 * grain]
        self.left = iter(self.pictures)

    def get_next(self) -> dict[str, np.ndarray] | None:
        picture = next(self.left, None)
        return None if picture is None else {"picture": picture}


def build(folder: Path) -> None:
    """Export the float model, quantise it with ONNX Runtime, and spoil one range of a copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            classifier(), (torch.zeros(1, 3, SIZE, SIZE),), str(folder / "float.onnx"),
            input_names=["picture"], output_names=["scores"], opset_version=17, dynamo=False,
        )  # fmt: skip
    pictures = Pictures()
    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", pictures,
        quant_format=QuantFormat.QDQ, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    np.save(folder / "picture.npy", pictures.pictures[0])

    model = onnx.load(folder / "int8.onnx")
    for entry in model.graph.initializer:
        if entry.name == f"{CLIPPED}_scale":  # as if calibration had seen a quarter of the tensor's real range
            entry.CopyFrom(from_array(to_array(entry) / np.float32(4), entry.name))
    onnx.save(model, folder / "badly_calibrated.onnx")


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
