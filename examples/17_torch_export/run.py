"""A keyword spotter exported as a program while it was still in training mode."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from spotter import BANDS, STEPS, spotter, training

HERE = Path(__file__).parent
COMMANDS = (
    "align compare spotter.py:spotter exported.pt2 -i sound.npy",
    "align compare spotter.py:spotter right.pt2 -i sound.npy",
)


def build(folder: Path) -> None:
    """Export the model as the training loop leaves it, and again after ``eval()``; draw a sound."""
    shutil.copy(HERE / "spotter.py", folder)
    sound = np.random.default_rng(0).normal(1, 2, (1, 1, BANDS, STEPS)).astype(np.float32)
    np.save(folder / "sound.npy", sound)
    for name, model in (("exported", training()), ("right", spotter())):
        torch.export.save(torch.export.export(model, (torch.from_numpy(sound),)), folder / f"{name}.pt2")


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
