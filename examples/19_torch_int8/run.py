"""A decoder quantised by torch.ao, whose tanh reads what was cut to its own range."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from decoder import codes

HERE = Path(__file__).parent
COMMANDS = (
    "align compare decoder.py:decoder decoder.py:quantised -i code.npy",
    "align compare decoder.py:decoder decoder.py:mended -i code.npy",
)


def build(folder: Path) -> None:
    """Copy the code; draw a picture's code."""
    shutil.copy(HERE / "decoder.py", folder)
    np.save(folder / "code.npy", codes(1).numpy())


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
