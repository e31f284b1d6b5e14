"""Run the command as a user would, in this process where that is quicker, and read what it said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.warm_process import WarmProcess

CODE = "import sys; from aligner.cli.process import main; sys.exit(main())"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("ALIGNER_DEBUG", "ALIGNER_NO_FORK")}
    return {**kept, "TMPDIR": str(folder), "COLUMNS": "110", "NO_COLOR": "1", **more}


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    folder: Path, *words: object, code: str = CODE, cold: bool = False, **more: str
) -> subprocess.Popen[str] | WarmProcess:
    """The command in a process of its own; ``folder`` is its working directory and takes its temporary files.

    ``cold``: nothing is loaded before it starts; else its own code alone is run by a process that has the frameworks.
    """
    if code == CODE and not cold and sys.platform == "linux":
        return WarmProcess(code, [*map(str, words)], folder, environment(folder, **more))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder, **more),
        # A shell that starts tests in the background has them ignore Ctrl-C, and so would whatever they start.
        preexec_fn=_heed_interrupts if os.name == "posix" else None,
    )


def run(folder: Path, *words: object, code: str = CODE, cold: bool = False, **more: str) -> Outcome:
    """Start the command and wait for its end."""
    process = start(folder, *words, code=code, cold=cold, **more)
    out, err = process.communicate(timeout=300)
    return Outcome(process.returncode, out, err)


class Shell:
    """The command in this process: frameworks are imported once for all tests."""

    def __init__(self, folder: Path, capture, monkeypatch) -> None:
        self.folder = folder
        self._capture = capture
        monkeypatch.chdir(folder)
        monkeypatch.setenv("ALIGNER_NO_FORK", "1")
        monkeypatch.delenv("ALIGNER_DEBUG", raising=False)
        monkeypatch.setenv("COLUMNS", "110")

    def __call__(self, *words: object) -> Outcome:
        from aligner.cli.process import main

        self._capture.readouterr()
        code = main([str(word) for word in words])
        out, err = self._capture.readouterr()
        return Outcome(code, out, err)

    def json(self, *words: object) -> tuple[Outcome, dict]:
        """The command with ``--json -``: its report, which must be all that stands on standard output."""
        import json

        outcome = self(*words, "--json", "-")
        return outcome, json.loads(outcome.out)

    def refused(self, *words: object, says: tuple[str, ...] = ()) -> Outcome:
        """A command that must end as bad input does; ``says`` must stand in its message."""
        before = files(self.folder)
        outcome = self(*words)
        assert files(self.folder) == before
        return checked(outcome, *says)


def checked(outcome: Outcome, *says: str) -> Outcome:
    """Exit code 2, three parts on standard error, no traceback, nothing on standard output."""
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert "Traceback" not in outcome.err, outcome.err
    lines = outcome.err.strip("\n").split("\n")
    assert lines[0].startswith("error: "), outcome.err
    assert "bug in aligner" not in lines[0], outcome.err
    assert [sum(line.startswith(part) for line in lines) for part in ("error: ", "found: ", "next: ")] == [1, 1, 1], (
        outcome.err
    )
    for words in says:
        assert words in outcome.err, (words, outcome.err)
    return outcome


def files(folder: Path) -> list[str]:
    """Everything in the folder but Python's caches."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def without(*modules: str) -> str:
    """Code for ``run`` in a world where these are not installed: no finder finds them."""
    return f"""
import sys

class Blind:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {modules!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Blind, sys.meta_path)
{CODE}
"""
