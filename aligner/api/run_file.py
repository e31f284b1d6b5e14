"""A report of an earlier comparison, held against the same comparison made again."""

from __future__ import annotations

from pathlib import Path

from aligner.errors import InputError
from aligner.records.comparison import Comparison


def read_run(run: Path | None) -> Comparison | None:
    """The report. Raises InputError where the file is none."""
    if run is None:
        return None
    from aligner.report.json_document import read_json

    return read_json(run)


def check_unchanged(before: Comparison, now: Comparison) -> None:
    """Refuse a report that is of other files, or of these before they were changed. Raises InputError."""
    changed = [f"{new}, not {old}" for old, new in zip(_facts(before), _facts(now), strict=True) if old != new]
    if changed:
        raise InputError(
            "the report is not of these files as they are now",
            found="; ".join(changed),
            hint="compare again, and use the new report",
        )


def _facts(one: Comparison) -> tuple[str, ...]:
    first = one.first_divergence
    return (
        f"a reference of {one.reference.nodes} nodes",
        f"a candidate of {one.candidate.nodes} nodes",
        f"{one.verdict} at {first.candidate.name}" if first is not None else one.verdict,
    )
