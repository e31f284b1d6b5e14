"""An upscaling factor that the exporter baked in: right at ×3, wrong at ×4; and the export that keeps it."""

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
from upscaler import cured, upscaler

HERE = Path(__file__).parent
COMMANDS = (
    "align compare upscaler.py:upscaler baked.onnx -i x=picture.npy -i reference.factor=three.npy",
    "align compare upscaler.py:upscaler baked.onnx -i x=picture.npy -i reference.factor=four.npy",
    "align compare upscaler.py:upscaler cured.onnx -i x=picture.npy -i factor=four.npy",
)


def build(folder: Path) -> None:
    """Export both forms at ×3, and write a picture and two factors."""
    picture = np.random.default_rng(0).random((1, 3, 16, 20), dtype=np.float32)
    axes = {"x": {2: "height", 3: "width"}, "upscaled": {2: "height3", 3: "width3"}}
    for name, make in {"baked": upscaler, "cured": cured}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                make(), (torch.from_numpy(picture), torch.tensor([3.0])), str(folder / f"{name}.onnx"),
                input_names=["x", "factor"], output_names=["upscaled"], dynamic_axes=axes,
                opset_version=17, dynamo=False,
            )  # fmt: skip
    np.save(folder / "picture.npy", picture)
    np.save(folder / "three.npy", np.float32([3]))
    np.save(folder / "four.npy", np.float32([4]))
    shutil.copy(HERE / "upscaler.py", folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
