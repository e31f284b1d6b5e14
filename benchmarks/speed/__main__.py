"""Measure what a comparison costs beside loading both models and running each once.

python -m benchmarks.speed [--quick] [--only NAME …] [--repeat 3] [--work build/speed] [--table FILE] [--peers]
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from compileall import compile_dir
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

import aligner
from benchmarks.page import fill
from benchmarks.speed import table
from benchmarks.speed.cases import GROUPS, QUICK, Case, Sizes, cases
from benchmarks.speed.measuring import Cost, Failed, alternately, python

_PACKAGES = "torch onnxruntime ai-edge-litert numpy".split()
_LAST = 400
_LOG = "log.txt"


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes, to see that everything runs.")
@click.option("--only", multiple=True, metavar="NAME", help="A table, or a part of a case's name; repeatable.")
@click.option("--repeat", default=3, show_default=True, help="Runs of each program; their medians are told.")
@click.option("--parameters", type=int, help="Of the big stack. [default: 1,000,000,000]")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/speed"), show_default=True)
@click.option("--table", "page", type=click.Path(path_type=Path), help="Fill in this page's tables.")
@click.option("--json", "raw", type=click.Path(path_type=Path), help="Write every number, phases included.")
@click.option("--peers", is_flag=True, help="Also measure what else checks intermediates.")
def main(
    quick: bool,
    only: tuple[str, ...],
    repeat: int,
    parameters: int | None,
    work: Path,
    page: Path | None,
    raw: Path | None,
    peers: bool,
) -> None:
    """Build what is not built yet, measure, print a table for each group."""
    compile_dir(str(Path(aligner.__file__).parent), quiet=1)  # as pip does with what it installs
    sizes = QUICK if quick else Sizes()
    sizes = sizes if parameters is None else replace(sizes, parameters=parameters)
    wanted = [case for case in cases(work.resolve(), sizes, peers=peers) if _wanted(case, only)]
    costs: list[dict[str, object]] = []
    given = [*["--quick"] * quick, *["--peers"] * peers, *(word for name in only for word in ("--only", name))]
    parts = {"how": _how(repeat, *given)}
    for group in GROUPS:
        rows = [row for case in wanted if case.group == group for row in _measured(case, repeat, costs)]
        if rows:
            parts[group] = table.markdown(rows)
            print(f"\n{group}\n\n{parts[group]}", flush=True)
    if page is not None:
        fill(page, "speed", parts)
    if raw is not None:
        raw.write_text(json.dumps(costs, indent=1), encoding="utf-8")


def _wanted(case: Case, only: Sequence[str]) -> bool:
    return not only or any(word == case.group or word in case.name or word == case.folder.name for word in only)


def _how(repeat: int, *flags: str) -> str:
    """The command, without the folders of this machine, and what it ran on."""
    words, found = ["benchmarks.speed", "--repeat", str(repeat), *flags], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    world = ", ".join([f"{os.cpu_count()} cores", f"Python {sys.version.split()[0]}", *found])
    return f"`python -m {shlex.join(words)}`, medians of {repeat} runs; {world}."


def _measured(case: Case, repeat: int, costs: list[dict[str, object]]) -> list[tuple[str, ...]]:
    """A line for each of our programs; what fails is a line, too."""
    missing = _build(case)
    if missing:
        return [table.failed(case, label, missing) for label in case.ours]
    runs = max(repeat, case.least_repeats) if repeat > 1 else 1
    try:
        found = alternately({"plain": case.plain, **case.ours}, runs, case.folder / _LOG)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return [table.failed(case, label, str(failure)) for label in case.ours]
    costs += [{"group": case.group, "case": case.name, "program": name} | asdict(cost) for name, cost in found.items()]
    for label in case.ours:
        print(_line(case, label, found["plain"], found[label]), file=sys.stderr, flush=True)
    return [table.row(case, label, found["plain"], found[label]) for label in case.ours]


def _line(case: Case, label: str, plain: Cost, ours: Cost) -> str:
    phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in ours.said.get("timing", {}).items())
    return f"{'  '.join(table.row(case, label, plain, ours))}  [{phases}]"


def _build(case: Case) -> str | None:
    """Make the case's files where they are not there; what went wrong, if it did."""
    if case.folder.exists():
        return None
    partial = case.folder.with_name(f"partial-{case.folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    module, *words = case.build
    print(f"building {case.folder.name}", file=sys.stderr, flush=True)
    command = python("-m", f"benchmarks.speed.{module}", partial, *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"not built: {done.stderr.strip()[-_LAST:]}"
    partial.rename(case.folder)
    return None


if __name__ == "__main__":
    main()
