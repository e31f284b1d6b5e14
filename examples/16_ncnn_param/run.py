"""A detector converted to ncnn, and its `.param` edited by hand."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pnnx
import torch
from detector import SIZE, detector

HERE = Path(__file__).parent
COMMANDS = (
    "align compare detector.py:detector detector.param -i picture.npy",
    "align compare detector.py:detector edited.param -i picture.npy",
)


def build(folder: Path) -> None:
    """Convert the detector with pnnx as it is by default, edit one line of what it wrote, and draw a picture."""
    shutil.copy(HERE / "detector.py", folder)
    picture = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
    np.save(folder / "picture.npy", picture)
    torch.jit.trace(detector(), torch.from_numpy(picture)).save(str(folder / "traced.pt"))
    words = ["traced.pt", f"inputshape=[1,3,{SIZE},{SIZE}]", "ncnnparam=detector.param", "ncnnbin=detector.bin"]
    subprocess.run([pnnx.EXEC_PATH, *words], cwd=folder, check=True, capture_output=True)
    text = (folder / "detector.param").read_text()
    edited = re.sub(r"(?m)^(Interp .*) 0=1 ", r"\1 0=2 ", text)
    assert edited != text
    (folder / "edited.param").write_text(edited)
    shutil.copy(folder / "detector.bin", folder / "edited.bin")


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
