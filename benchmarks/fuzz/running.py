"""One case in a forked child with bounds, and what became of it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from aligner.errors import AlignerError
from aligner.execution.confinement import Bounds, confine
from benchmarks.fuzz.subjects import Subject

SECONDS = 25
MEMORY = 4 << 30
BAD = ("foreign", "crash", "hang", "escape", "left")
"""Outcomes that are defects; "refused", "read" and "memory" are none."""


def file_case(subject: Subject, seed: str, keep: Path | None = None) -> str:
    """The outcome of one changed file: "refused", "read", "memory", or a defect with its place."""
    random = Random(seed)
    data = random.choice(subject.mutators)(subject.whole, random)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        path = folder / f"case{subject.suffix}"
        path.write_bytes(data)
        (folder / "tmp").mkdir()
        outcome = in_child(lambda: _read(subject, path), folder)
        if outcome.split(" ")[0] in BAD and keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{seed.replace(' ', '_').replace(':', '_')}{subject.suffix}").write_bytes(data)
        left = sorted(entry.name for entry in (folder / "tmp").iterdir())
    return f"left {left}" if left and outcome in ("refused", "read") else outcome


def _read(subject: Subject, path: Path) -> str:
    try:
        subject.read(path)
    except AlignerError as error:
        whole = bool(error.what and error.found and error.hint)
        return "refused" if whole else f"foreign a message without its three parts: {error.what}"
    return "read"


def in_child(work: Callable[[], str], folder: Path) -> str:
    """What the work says, or how its process ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, _bounded(work, folder).encode("utf-8", "backslashreplace")[:2000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number == signal.SIGALRM else f"crash {signal.Signals(number).name}"
    return told or f"crash exit {os.WEXITSTATUS(status)}"


def _bounded(work: Callable[[], str], folder: Path) -> str:
    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    confine(Bounds(reads=(folder,), lists=(folder,), writes=(folder,), memory=MEMORY, seconds=SECONDS))
    try:
        return work()
    except MemoryError:
        return "memory"
    except PermissionError as error:
        return f"escape {error}"
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return f"foreign {type(error).__name__}: {str(error)[:200]} {_place(error)}"


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/aligner/" in frame.filename]
    return f"at {frames[-1].filename.split('/aligner/')[-1]}:{frames[-1].lineno}" if frames else ""


def command_case(words: list[str], folder: Path) -> str:
    """The outcome of a command line: "exit 0" … "exit 3", or a defect."""
    before = _files(folder)
    out, err = folder / ".out", folder / ".err"

    def work() -> str:
        from aligner.cli.process import main

        os.environ["ALIGNER_NO_FORK"] = "1"
        os.chdir(folder)
        sys.stdout, sys.stderr = out.open("w"), err.open("w")
        code = main(words)
        sys.stdout.flush(), sys.stderr.flush()
        return f"exit {code}"

    outcome = in_child(work, folder)
    shown = "".join(file.read_text(errors="replace") for file in (out, err) if file.exists())
    if "bug in aligner" in shown or "Traceback" in shown:
        return f"foreign {' '.join(shown.split())[:300]}"
    if set(shown) & {"\x1b", "\x07", "\u202e"}:
        return "escape a control character on the terminal"
    if outcome == "exit 2" and any(_files(folder).get(name) != content for name, content in before.items()):
        return "left an input changed"
    return outcome


def _files(folder: Path) -> dict[str, Any]:
    found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return {path.name: path.read_bytes() for path in found}
