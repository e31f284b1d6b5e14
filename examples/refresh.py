"""Rewrite the output in every example's README with what the tool prints now.

python examples/refresh.py [NAME …]     all of them without a name

A README holds one ``console`` block for each command of its run.py. What is left out is marked by an ellipsis.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
WIDTH = 100
LEFT_OUT = ("other culprits", "fed ")
"""Parts of a report, by their first words, that the READMEs do without."""
_RUN = "import sys; from aligner.cli.process import main; sys.exit(main())"
_BLOCK = re.compile(r"```console\n.*?```", re.DOTALL)


def refresh(name: str) -> None:
    """Build one example, run its commands, and put what they print in the place of what its README shows."""
    readme = HERE / name / "README.md"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        blocks = iter([_block(command, folder) for command in _build(name, folder)])
        text = _BLOCK.sub(lambda _: next(blocks), readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")


def _build(name: str, folder: Path) -> tuple[str, ...]:
    sys.path.insert(0, str(HERE / name))
    spec = importlib.util.spec_from_file_location(f"example_{name}", HERE / name / "run.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.build(folder)
    sys.path.remove(str(HERE / name))
    return script.COMMANDS


def _block(command: str, folder: Path) -> str:
    words = shlex.split(command)[1:]
    run = subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        cwd=folder, env={**os.environ, "COLUMNS": str(WIDTH), "NO_COLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = "\n\n".join(_trimmed(run.stdout or run.stderr))
    return f"```console\n$ {command}\n{output}\n```"


def _trimmed(report: str) -> Iterator[str]:
    left_out = False
    for part in "\n".join(line.rstrip() for line in report.strip().splitlines()).split("\n\n"):
        if not part.startswith(LEFT_OUT):
            yield part
        elif not left_out:
            yield "…"
        left_out = part.startswith(LEFT_OUT)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/run.py")):
        refresh(chosen)
