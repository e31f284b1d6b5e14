"""A sweep as JSON, ``aligner.sweep/1``, and back; parts of one set added up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import TextIO

from aligner.errors import OutputError
from aligner.records.regular_file import read_regular
from aligner.records.sweep import Sweep
from aligner.report.codec import Document, decode, encode
from aligner.report.document_file import write_document

FORMAT = "aligner.sweep/1"
_HINT = "give a file that `align sweep --json` wrote"


def to_document(sweep: Sweep) -> Document:
    """The sweep as JSON's own types; verdict and stability follow from the samples, and stand first for readers."""
    return {"format": FORMAT, "verdict": sweep.verdict, "stability": sweep.stability, **encode(sweep)}


def write_sweep(sweep: Sweep, target: Path | TextIO) -> None:
    """Write it whole, or not at all. Raises OutputError where the target cannot be written."""
    write_document(to_document(sweep), target)


def read_sweep(path: Path) -> Sweep:
    """The sweep that a file holds. Raises OutputError where it is not one."""
    try:
        document = json.loads(read_regular(path))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return decode(Sweep, document)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(f"{path} is no sweep", found=str(error), hint=_HINT) from error


def merged(paths: Sequence[Path]) -> Sweep:
    """The parts of one set as one. Raises OutputError where they are of different sets, or hold a sample twice."""
    parts = [read_sweep(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        check_same(parts[0], part, str(path))
    try:
        return reduce(add, parts)
    except ValueError as error:
        raise OutputError.of("these parts do not add up", error, "give each part once") from error


def check_same(one: Sweep, other: Sweep, name: str) -> None:
    """Raise OutputError where two sweeps are not over the same models, samples and limits."""
    others = sorted({name for name, _ in one.settings.items() ^ other.settings.items()})
    differing = [
        what
        for what, same in (
            ("models", _models(one) == _models(other) or not (one.samples and other.samples)),
            ("runtimes", _runtimes(one) == _runtimes(other) or not (one.samples and other.samples)),
            ("number of samples", one.total == other.total),
            ("measures of agreement", one.agreement == other.agreement),
            (f"settings ({', '.join(others)})", not others),
            ("tolerances", (one.tolerance.atol, one.tolerance.rtol) == (other.tolerance.atol, other.tolerance.rtol)),
        )
        if not same
    ]
    if differing:
        raise OutputError(
            f"{name} is of another sweep",
            found=f"its {' and '.join(differing)} differ",
            hint="add up and resume parts of one set, compared alike",
        )


def _models(sweep: Sweep) -> tuple[str, str]:
    return sweep.reference.path, sweep.candidate.path


def _runtimes(sweep: Sweep) -> tuple[str, str]:
    return sweep.reference.runtime, sweep.candidate.runtime
