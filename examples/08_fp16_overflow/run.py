"""NaN in a float16 model: the operation that overflowed comes before the first one that shows NaN."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from attention import TOKENS, WIDTH, Half, encoder, scaled_early

HERE = Path(__file__).parent
COMMANDS = (
    "align compare attention.py:encoder encoder.half.pt -i tokens.npy",
    "align compare attention.py:scaled_early scaled_early.half.pt -i tokens.npy",
)


def build(folder: Path) -> None:
    """Convert both forms to float16 (inputs and outputs stay float32), trace them, and draw the tokens."""
    tokens = np.random.default_rng(0).standard_normal((1, TOKENS, WIDTH), dtype=np.float32)
    for make in (encoder, scaled_early):
        with torch.no_grad():
            traced = torch.jit.trace(Half(make()).eval(), torch.from_numpy(tokens), check_trace=False)
        traced.save(str(folder / f"{make.__name__}.half.pt"))
    np.save(folder / "tokens.npy", tokens)
    shutil.copy(HERE / "attention.py", folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
