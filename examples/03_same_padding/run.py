"""TensorFlow's SAME at stride 2 is not padding = kernel // 2: a port with it, and the corrected one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COMMANDS = (
    "align compare detector.tflite detector.py:symmetric -i picture.npy",
    "align compare detector.tflite detector.py:asymmetric -i picture.npy",
)


def build(folder: Path) -> None:
    """Copy the models and draw a picture [1, 224, 224, 3] in 0..1."""
    random = np.random.default_rng(1)
    coarse = random.random((1, 14, 14, 3), dtype=np.float32).repeat(16, axis=1).repeat(16, axis=2)
    np.save(folder / "picture.npy", 0.8 * coarse + 0.2 * random.random(coarse.shape, dtype=np.float32))
    for name in ("detector.tflite", "detector.py"):
        shutil.copy(HERE / name, folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
