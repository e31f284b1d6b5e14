"""A model in JavaScript: onnxruntime-node runs an instrumented file, whose recording is compared with the original."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from aligner.api.instrumenting import instrument, write_recorders
from aligner.demo.scenario import IMAGE

HERE = Path(__file__).parent
SIZE = 32
COMMANDS = ("align compare network.pt run.safetensors --dump-of network.onnx",)


class Network(nn.Module):
    """``pad``: how the second convolution is padded; the exporting machine had an old copy of the code."""

    def __init__(self, pad: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 16, 3, padding=1, padding_mode=pad)
        self.head = nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.body(torch.relu(self.stem(image))))
        return self.head(features.mean((2, 3))).softmax(-1)


def write(folder: Path) -> None:
    """Write both forms, the instrumented file, and what the programs need."""
    networks = []
    for pad in ("zeros", "replicate"):
        torch.manual_seed(0)
        networks.append(Network(pad).eval())
    example = torch.zeros(1, 3, SIZE, SIZE)
    torch.jit.trace(networks[0], example).save(str(folder / "network.pt"))
    torch.onnx.export(networks[1], (example,), folder / "network.onnx", input_names=["image"], dynamo=False)
    instrument(folder / "network.onnx", folder / "tapped.onnx")
    write_recorders(folder)
    for name in ("main.mjs", "page.html"):
        shutil.copy(HERE / name, folder)
    (folder / "face.rgb").write_bytes(Image.open(IMAGE).convert("RGB").resize((SIZE, SIZE)).tobytes())


def build(folder: Path) -> None:
    """Run the exported form in Node; ALIGNER_NODE_MODULES may name a folder with onnxruntime-node in it."""
    write(folder)
    modules = os.environ.get("ALIGNER_NODE_MODULES")
    if modules:
        (folder / "node_modules").symlink_to(modules)
    else:
        words = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "onnxruntime-node@1.30.0"]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["node", "main.mjs", "tapped.onnx", "face.rgb", "run.safetensors"], cwd=folder, check=True)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
