"""Polygraphy runs a model and saves what it computed; its file is a side."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

SIZE = 16
COMMANDS = ("align compare network.pt outputs.json --dump-of network.onnx --input image=image.npy",)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.gelu(self.norm(self.stem(image)))).mean((2, 3))


def build(folder: Path) -> None:
    """Export the network, lose a bias on the way to the device, and let Polygraphy's runner save all tensors."""
    torch.manual_seed(0)
    network, image = Network().eval(), torch.rand(1, 3, SIZE, SIZE)
    np.save(folder / "image.npy", image.numpy())
    torch.jit.trace(network, image).save(str(folder / "network.pt"))
    torch.onnx.export(network, (image,), folder / "network.onnx", input_names=["image"], dynamo=False)
    model = onnx.load(folder / "network.onnx")
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    bias.raw_data = bytes(len(bias.raw_data))  # the mistake: what built the engine dropped it
    onnx.save(model, folder / "network.onnx")
    record(folder)


def record(folder: Path) -> None:
    """What ``polygraphy run network.onnx --onnxrt --onnx-outputs mark all --save-outputs outputs.json`` does."""
    from polygraphy.backend.onnx import ModifyOutputs, OnnxFromPath
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator
    from polygraphy.constants import MARK_ALL

    model = ModifyOutputs(OnnxFromPath(str(folder / "network.onnx")), outputs=MARK_ALL)
    feeds = [{"image": np.load(folder / "image.npy")}]
    Comparator.run([OnnxrtRunner(SessionFromOnnx(lambda: model().SerializeToString()))], data_loader=feeds).save(
        str(folder / "outputs.json")
    )


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
