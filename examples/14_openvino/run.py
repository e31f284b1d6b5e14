"""The preprocessing that was built into an IR, and done once more by the application."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino
import torch
from classifier import DEVIATION, MEAN, SIZE, classifier

COMMANDS = (
    "align compare classifier.py:classifier plain.xml -i picture.npy --setting candidate.precision=f32",
    "align compare classifier.py:classifier prepared.xml -i picture.npy --setting candidate.precision=f32",
)


def build(folder: Path) -> None:
    """Convert the classifier twice, as it is and with mean and deviation built in; save a picture for the first one."""
    (folder / "classifier.py").write_bytes((Path(__file__).parent / "classifier.py").read_bytes())
    pixels = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
    across = (np.float32(numbers).reshape(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    mean, deviation = across
    np.save(folder / "picture.npy", (pixels - mean) / deviation)
    model = openvino.convert_model(
        classifier(), example_input=torch.from_numpy(pixels), input=("picture", list(pixels.shape))
    )
    openvino.save_model(model, str(folder / "plain.xml"))
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().mean(list(MEAN)).scale(list(DEVIATION))
    openvino.save_model(steps.build(), str(folder / "prepared.xml"))


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
