"""uint8 in, uint8 out: single steps where a value lies on .5 are no fault; a cast that forgot to round is one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from enhancer import folded, truncating

HERE = Path(__file__).parent
COMMANDS = (
    "align compare enhancer.py:enhancer folded.onnx -i pixels.npy",
    "align compare enhancer.py:enhancer truncating.onnx -i pixels.npy",
)


def build(folder: Path) -> None:
    """Export a form whose normalisation is folded into the first layer, one that truncates, and draw some pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    for make in (folded, truncating):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                make(), (torch.from_numpy(pixels),), str(folder / f"{make.__name__}.onnx"),
                input_names=["pixels"], output_names=["enhanced"], opset_version=17, dynamo=False,
            )  # fmt: skip
    np.save(folder / "pixels.npy", pixels)
    shutil.copy(HERE / "enhancer.py", folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
