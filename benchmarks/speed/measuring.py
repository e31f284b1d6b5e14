"""Wall time, CPU time, peak memory and bytes written of a program in a process of its own.

Nothing heavy is imported here: on Linux a process inherits, over ``exec``, the peak of the one that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ANSWERED = frozenset({0, 1, 3})
"""Exit codes of a comparison that took place."""
_BLOCK = 512
"""Bytes of a block, as ``getrusage`` counts them."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command line; one that is ``inside`` measures itself, after its imports, and prints a JSON object as last line.

    ``report`` is a file that the program leaves behind, in which a verdict may stand.
    """

    words: tuple[str, ...]
    inside: bool = False
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds and bytes; ``base`` is the peak before the work began, where the program says it."""

    wall: float
    cpu: float
    peak: int
    base: int = 0
    written: int = 0
    said: Mapping[str, Any] = field(default_factory=dict)


class Failed(Exception):  # noqa: N818 - an outcome, not an error of ours
    """A program that did not do its work; the last lines it wrote."""


def python(*words: object) -> tuple[str, ...]:
    """A command line for the interpreter that runs this."""
    return (sys.executable, *map(str, words))


def align(*words: object) -> tuple[str, ...]:
    """A command line of ``align``."""
    return python("-m", "aligner", *words)


def alternately(programs: Mapping[str, Program], repeat: int, log: Path) -> dict[str, Cost]:
    """The median costs of programs that take turns, so that a busy minute troubles all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(repeat):
        for name, program in programs.items():
            costs[name].append(once(program, log))
    return {name: _median(found) for name, found in costs.items()}


def once(program: Program, log: Path) -> Cost:
    """Run the program to its end; what it prints goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        start = time.perf_counter()
        process = subprocess.Popen(program.words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # includes children that it waited for
        wall = time.perf_counter() - start
    process.returncode = code = os.waitstatus_to_exitcode(status)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if code not in ANSWERED or (program.inside and code):
        raise Failed("\n".join([f"exit code {code}: {' '.join(program.words)}", *lines[-5:]]))
    if program.inside:
        said = json.loads(lines[-1])
        return Cost(said["wall"], said["cpu"], said["peak"], said["base"], said["written"], said)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss * 1024, 0, usage.ru_oublock * _BLOCK, _said(program.report))


def _said(report: Path | None) -> Mapping[str, Any]:
    if report is None:
        return {}
    document = json.loads(report.read_text(encoding="utf-8"))
    return {"verdict": document["verdict"], "pairs": len(document["pairs"]), "timing": document["timing"]}


def _median(costs: Sequence[Cost]) -> Cost:
    """Each number's own median; what was said comes from the last run."""
    wall, cpu = (median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu"))
    sizes = (int(median(getattr(cost, name) for cost in costs)) for name in ("peak", "base", "written"))
    return Cost(wall, cpu, *sizes, said=costs[-1].said)
