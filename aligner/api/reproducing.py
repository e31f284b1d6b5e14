"""reproduce(): the guilty part of a candidate, alone in a folder, shown to fail there before anything is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.registry import adapters, find_adapter
from aligner.adapters.rewriting import Extracts
from aligner.api.comparing import run_comparison
from aligner.api.options import CompareOptions
from aligner.api.run_file import check_unchanged, read_run
from aligner.causes.context import Context
from aligner.causes.search import Examined
from aligner.errors import ComparisonError, OutputError, UnsupportedModelError, listing
from aligner.operations.operation import Unsupported
from aligner.records import progress
from aligner.records.comparison import Comparison, Finding
from aligner.records.reproduction import Reproduction
from aligner.repair.reproducible import Specimen, specimen
from aligner.repair.shrinking import smaller
from aligner.report.issue_text import issue, script

_SECONDS = 120
"""After which the script of a case is stopped: a case is a few nodes, most of the time goes to importing a
framework."""
_FEW = 8
"""Culprits that are tried, upstream first."""


def reproduce(
    reference: object,
    candidate: Path | str,
    inputs: Any = None,
    *,
    output: Path | str,
    options: CompareOptions | None = None,
    run: Path | None = None,
) -> Reproduction:
    """Cut the first culprit that fails alone out of the candidate, into the new folder ``output``.

    ``run`` is a report of the same comparison, which must still hold. Raises ComparisonError where nothing diverges or
    nothing fails alone, UnsupportedModelError where the candidate's format cannot be cut, OutputError where the folder
    exists already or cannot be made.
    """
    target, folder = Path(candidate), Path(output)
    check_folder(folder)
    adapter = find_adapter(str(candidate))
    if not isinstance(adapter, Extracts):
        raise UnsupportedModelError(
            f"no part of {candidate} can be cut out",
            found=f"a model of the {adapter.name!r} adapter",
            hint="reproduce against a file that was made of it; these can be cut: "
            + ", ".join(one.reads for one in adapters() if isinstance(one, Extracts)),
        )
    found: list[Specimen] = []

    def told(context: Context, examined: list[Examined], findings: list[Finding]) -> None:
        del findings
        found.extend(_specimens(examined, context))

    comparison = run_comparison(reference, target, inputs, replace(options or CompareOptions(), told=told))
    earlier = read_run(run)
    if earlier is not None:
        check_unchanged(earlier, comparison)
    if comparison.verdict != "diverged" or not found:
        raise ComparisonError(
            f"there is no fault of {candidate} to reproduce",
            found=f"{comparison.verdict}: {comparison.reason}",
            hint="align compare says what is known",
        )
    for one in found:
        with tempfile.TemporaryDirectory(prefix="aligner-repro-") as made:
            shown = _shown(adapter, target, one, comparison, Path(made))
            if shown is not None:
                _place(Path(made), folder)
                return replace(shown, folder=str(folder))
    raise ComparisonError(
        f"no fault of {candidate} shows alone",
        found=listing(dict.fromkeys(one.node for one in found)),
        hint="the fault needs more than its own nodes; attach the report: align compare … --json run.json",
    )


def _specimens(examined: list[Examined], context: Context) -> Iterator[Specimen]:
    """Each culprit's, before the first one's a smaller one of it."""
    for place, one in enumerate(examined[:_FEW]):
        try:
            whole = specimen(one)
        except Unsupported:
            continue
        less = smaller(one, whole, context) if not place else None
        if less is not None:
            yield less
        yield whole


def check_folder(folder: Path) -> None:
    """Refuse a place where something lies already. Raises OutputError."""
    problem = None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = "something lies there already"
    elif not folder.absolute().parent.is_dir():
        problem = f"there is no folder {folder.absolute().parent}"
    if problem:
        raise OutputError(f"cannot write into {folder}", found=problem, hint="name a new folder")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError.of(f"cannot write into {folder}", error, "name a new folder") from error


def _place(made: Path, folder: Path) -> None:
    with _writing(folder):
        shutil.copytree(made, folder, dirs_exist_ok=True)


def _shown(adapter: Extracts, target: Path, one: Specimen, comparison: Comparison, made: Path) -> Reproduction | None:
    """The package in a folder; None where the part cannot stand alone, or does not fail there."""
    try:
        part = adapter.extract(target, one.inputs, one.value, made)
    except Unsupported:
        return None
    pair = next((each for each in comparison.introduced if each.candidate.name == one.value), None)
    local = pair.local.max_abs if pair is not None and pair.local is not None else 0.0
    allowed = pair.bound if pair is not None and pair.bound is not None else local / 2
    arrays: dict[str, Any] = {f"input_{place}": array for place, array in enumerate(one.inputs.values())}
    np.savez(made / "inputs.npz", **arrays)
    np.save(made / "expected.npy", one.expected)
    (made / "repro.py").write_text(script(one.node, part.script, len(one.inputs), allowed), encoding="utf-8")
    progress.enter("candidate", "failing alone", one.node)
    said = _alone(made)
    if said is None:
        return None
    text = issue(one.node, [node.op for node in one.nodes], said, one.suspicion, comparison)
    (made / "ISSUE.md").write_text(text, encoding="utf-8")
    return Reproduction(
        folder="",
        node=one.node,
        value=one.value,
        operations=tuple(node.op for node in one.nodes),
        error=local,
        allowed=allowed,
        said=said,
        files=tuple(sorted(path.name for path in made.iterdir())),
    )


def _alone(folder: Path) -> str | None:
    """What the script says in a fresh process that knows nothing of this program; None where it does not fail."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "repro.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1] if done.returncode == 1 and lines and "largest error" in lines[-1] else None
