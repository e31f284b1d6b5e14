"""Cases in a forked child with bounds, and what became of each."""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from aligner.errors import AlignerError
from aligner.execution.confinement import Bounds, confine
from benchmarks.fuzz.subjects import FolderSubject, Subject

SECONDS = 25
"""Of a processor; a case that waits for something else has ten times as long."""
MEMORY = 4 << 30
BAD = ("foreign", "crash", "hang", "escape", "left")
"""Outcomes that are defects; "refused", "read", "memory" are none, nor is "named": a command says what has died."""

Case = Callable[[Path], str]
"""Works in a folder of its own, and says what became of it."""


def file_cases(
    subject: Subject | FolderSubject, seeds: Sequence[str], keep: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Each seed and the outcome of its file: "refused", "read", "memory", or a defect with its place."""

    def case(seed: str) -> Case:
        return lambda folder: _read(subject, subject.write(folder, Random(seed)))

    for seed, outcome in zip(seeds, outcomes([case(seed) for seed in seeds]), strict=True):
        if outcome.startswith("crash"):
            (outcome,) = outcomes([_watched(case(seed), outcome)])
        if outcome.split(" ")[0] in BAD and keep is not None:
            _keep(subject, seed, keep)
        yield seed, outcome


def _watched(case: Case, crash: str) -> Case:
    """A case that ends its process, as a command's working process does it: "named", or the crash again."""

    def again(folder: Path) -> str:
        from aligner.cli.process import supervise

        with (folder / "said").open("w") as sys.stderr:
            code = supervise(lambda: len(case(folder)))
        said = (folder / "said").read_text(errors="replace")
        return "named" if code == 2 and all(word in said for word in ("error: ", "found: ", "next: ")) else crash

    return again


def _keep(subject: Subject | FolderSubject, seed: str, keep: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = subject.write(Path(folder), Random(seed))
        place = keep / f"{seed.replace(' ', '_').replace(':', '_')}{subject.suffix}"
        keep.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.move(path, place)


def _read(subject: Subject | FolderSubject, path: Path) -> str:
    try:
        subject.read(path)
    except AlignerError as error:
        if _denied(error):
            return f"escape {error.found}"
        whole = bool(error.what and error.found and error.hint)
        return "refused" if whole else f"foreign a message without its three parts: {error.what}"
    return "read"


def _denied(error: BaseException | None) -> bool:
    """Whether something was asked for that the confinement does not give, in Python or in a runtime's own code."""
    while error is not None:
        if isinstance(error, PermissionError) or "Permission denied" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def warm(work: Callable[[Path], object]) -> None:
    """Load here, once, the modules that the work loads; it is done in a child, whose threads and files go with it."""

    def names(folder: Path) -> str:
        before = set(sys.modules)
        with suppress(Exception):
            work(folder)
        return "\n".join(name for name in sys.modules if name not in before)

    (told,) = outcomes([names])
    for name in told.split("\n"):
        with suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page of ours: two thirds of a case's time


def outcomes(cases: Sequence[Case]) -> Iterator[str]:
    """What each case says, or how its process ended; those after one that ended it have a new one."""
    done = 0
    while done < len(cases):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            for outcome in _child(cases[done:], Path(name)):
                yield outcome
                done += 1


def _child(cases: Sequence[Case], folder: Path) -> Iterator[str]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(cases, folder, writing)
    os.close(writing)
    done = 0
    with os.fdopen(reading, "rb") as pipe:
        for line in pipe:
            yield json.loads(line)
            done += 1
    _, status = os.waitpid(pid, 0)
    if done < len(cases):
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        ended = signal.Signals(number).name if number else f"exit {os.WEXITSTATUS(status)}"
        yield "hang" if number in (signal.SIGALRM, signal.SIGPROF) else f"crash {ended}"


def _work(cases: Sequence[Case], folder: Path, writing: int) -> None:
    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    scratch = folder / "tmp"
    scratch.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in a command: else onnxruntime leaves a session's name behind
    os.environ["KERAS_HOME"] = str(folder / "keras")  # where it looks for settings, and writes them
    confine(Bounds(reads=(folder,), lists=(folder,), writes=(folder,), memory=MEMORY))
    with os.fdopen(writing, "wb") as pipe:
        for number, case in enumerate(cases):
            place = folder / str(number)
            place.mkdir()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
            outcome = _answered(case, place)
            left = sorted(entry.name for entry in scratch.iterdir())
            outcome = f"left {left}" if left and outcome in ("refused", "read") else outcome
            pipe.write(json.dumps(outcome).encode("ascii", "backslashreplace") + b"\n")
            pipe.flush()
            for used in (place, scratch):
                shutil.rmtree(used, ignore_errors=True)
            scratch.mkdir(exist_ok=True)
    os._exit(0)


def _answered(case: Case, folder: Path) -> str:
    try:
        return case(folder)
    except MemoryError:
        return "memory"
    except PermissionError as error:
        return f"escape {error}"
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return f"foreign {type(error).__name__}: {str(error)[:200]} {_place(error)}"


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/aligner/" in frame.filename]
    return f"at {frames[-1].filename.split('/aligner/')[-1]}:{frames[-1].lineno}" if frames else ""


def command_case(words: list[str], prepare: Callable[[Path], None]) -> Case:
    """A command line in a folder of files; it says "exit 0" … "exit 3", or a defect."""

    def case(folder: Path) -> str:
        from aligner.cli.process import main

        prepare(folder)
        os.environ["ALIGNER_NO_FORK"] = "1"
        os.chdir(folder)
        before = _files(folder)
        with (folder / ".out").open("w") as sys.stdout, (folder / ".err").open("w") as sys.stderr:
            code = main(words)
        shown = "".join((folder / name).read_text(errors="replace") for name in (".out", ".err"))
        return _judged(code, shown, before, _files(folder))

    return case


def _judged(code: int, shown: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    if "bug in aligner" in shown or "Traceback" in shown:
        return f"foreign {' '.join(shown.split())[:300]}"
    if set(shown) & {"\x1b", "\x07", "\u202e"}:
        return "escape a control character on the terminal"
    changed = [name for name, content in before.items() if after.get(name) != content]
    if changed and code == 2:
        return f"left inputs changed: {changed}"
    if code == 2 and not all(word in shown for word in ("error: ", "found: ", "next: ")) and "Usage: " not in shown:
        return f"foreign a message without its three parts: {' '.join(shown.split())[:200]}"
    return f"exit {code}"


def _files(folder: Path) -> dict[str, Any]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
