"""A checkpoint saved from nn.DataParallel, loaded with ``strict=False``: nothing fits, nobody is told."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from matting import SIZE, Matting
from torch import nn

from aligner.demo.scenario import IMAGE

HERE = Path(__file__).parent
COMMANDS = (f"align compare matting.py:matting matting.onnx -i portrait.png --size {SIZE} --mean 0.5 --std 0.5",)


def build(folder: Path) -> None:
    """Write the two checkpoints of a "trained" network, and the ONNX file of an export that loaded only one."""
    torch.manual_seed(1)
    trained = nn.DataParallel(Matting())
    with torch.no_grad():
        for parameter in trained.parameters():  # what training leaves: neither the first scale nor the first shape
            parameter.mul_(1 + 0.4 * torch.randn_like(parameter)).add_(0.02 * torch.randn_like(parameter))
        for name, statistics in trained.named_buffers():
            if name.endswith("running_mean"):
                statistics.normal_(0, 0.2)
            elif name.endswith("running_var"):
                statistics.uniform_(0.5, 2)
    torch.save(trained.module.backbone.state_dict(), folder / "backbone.pth")
    torch.save(trained.state_dict(), folder / "matting.ckpt")
    shutil.copy(HERE / "matting.py", folder)
    shutil.copy(IMAGE, folder / "portrait.png")

    torch.manual_seed(2)
    network = Matting().eval()
    network.backbone.load_state_dict(torch.load(folder / "backbone.pth", weights_only=True))
    # The mistake: every key begins with "module.", so none fits, and strict=False keeps quiet about it.
    network.load_state_dict(torch.load(folder / "matting.ckpt", weights_only=True), strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, SIZE, SIZE),), str(folder / "matting.onnx"),
            input_names=["portrait"], output_names=["matte"], opset_version=17, dynamo=False,
        )  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
