"""The checkpoint was never loaded before ``torch.jit.script``: build both forms, compare them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from restorer import Restorer

from aligner.demo.scenario import IMAGE

HERE = Path(__file__).parent
COMMANDS = ("align compare restorer.py:restorer restorer.pt -i face.png --size 64 --mean 0.5 --std 0.5",)


def build(folder: Path) -> None:
    """Write the checkpoint of a "trained" network and the TorchScript file of somebody who forgot to load it."""
    torch.manual_seed(1)
    trained = Restorer()
    with torch.no_grad():
        for parameter in trained.parameters():  # what training leaves: neither the first scale nor the first shape
            parameter.mul_(1 + 0.4 * torch.randn_like(parameter)).add_(0.02 * torch.randn_like(parameter))
    torch.save({"params_ema": trained.state_dict()}, folder / "restorer.pth")

    torch.manual_seed(2)
    network = Restorer().eval()
    # The mistake: here network.load_state_dict(checkpoint["params_ema"]) is missing.
    torch.jit.script(network).save(str(folder / "restorer.pt"))

    shutil.copy(HERE / "restorer.py", folder)
    shutil.copy(IMAGE, folder / "face.png")


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
