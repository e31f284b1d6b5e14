"""A tagger whose GELU was exchanged when it was made into a program for phones."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tagger import PIXELS, tagger

HERE = Path(__file__).parent
COMMANDS = (
    "align compare tagger.py:tagger phone.pte -i photo.npy",
    "align compare tagger.py:tagger right.pte -i photo.npy",
)


def build(folder: Path) -> None:
    """Make both programs; draw a photo."""
    from executorch.exir import to_edge

    shutil.copy(HERE / "tagger.py", folder)
    photo = np.random.default_rng(0).normal(size=(1, 3, PIXELS, PIXELS)).astype(np.float32)
    np.save(folder / "photo.npy", photo)
    for name, approximate in (("phone", "tanh"), ("right", "none")):
        exported = torch.export.export(tagger(approximate), (torch.from_numpy(photo),))
        (folder / f"{name}.pte").write_bytes(to_edge(exported).to_executorch().buffer)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
