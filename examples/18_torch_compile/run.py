"""A ranking model compiled by a backend whose layer norm loses digits."""

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
    "align compare ranker.py:ranker ranker.py:compiled -i features.npy",
    "align compare ranker.py:ranker ranker.py:mended -i features.npy",
)


def build(folder: Path) -> None:
    """Copy the code; draw features far from zero, as years and prices are."""
    shutil.copy(HERE / "ranker.py", folder)
    features = np.random.default_rng(0).normal(2000, 3, (8, 64)).astype(np.float32)
    np.save(folder / "features.npy", features)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
