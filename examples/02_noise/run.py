"""A decoder that draws noise agrees with nobody, not even with itself; with the noise frozen everything aligns."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from decoder import CODE, frozen, noisy

HERE = Path(__file__).parent
COMMANDS = (
    "align compare decoder.py:noisy noisy.onnx -i code.npy",
    "align compare decoder.py:frozen frozen.onnx -i code.npy",
)


def build(folder: Path) -> None:
    """Write the ONNX files of both decoders and a code to feed."""
    code = np.random.default_rng(0).standard_normal((1, CODE), dtype=np.float32)
    for name, make in {"noisy": noisy, "frozen": frozen}.items():
        torch.onnx.export(
            make(), (torch.from_numpy(code),), folder / f"{name}.onnx",
            input_names=["code"], output_names=["picture"], external_data=False, verbose=False,
        )  # fmt: skip
    np.save(folder / "code.npy", code)
    shutil.copy(HERE / "decoder.py", folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
