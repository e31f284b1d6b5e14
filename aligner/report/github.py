"""What a GitHub job shows of a comparison: annotations at the lines to blame, and the job's summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aligner.errors import OutputError
from aligner.records.comparison import Comparison, Pair
from aligner.report.excerpt import one_line
from aligner.report.junit import pair_message
from aligner.report.markdown import to_markdown
from aligner.report.page import sentence, visible
from aligner.report.portable import portable
from aligner.report.words import label, operation, other_culprits, place

_WARNINGS = 9
"""GitHub shows ten annotations of a kind for each step, and drops the rest without a word."""

_SUMMARY = 1024 * 1024
"""Bytes that GitHub takes for a step's summary."""


def workflow_commands(comparison: Comparison) -> str:
    """Workflow commands for standard output, one line each."""
    return "".join(f"{line}\n" for line in _commands(portable(comparison)))


def write_summary(comparison: Comparison, path: Path) -> None:
    """Append the Markdown report to the job's summary, ``GITHUB_STEP_SUMMARY``.

    Raises OutputError where the file cannot be written.
    """
    text = to_markdown(comparison).encode("utf-8", "backslashreplace")
    try:
        with path.open("ab") as file:
            if file.tell() + len(text) <= _SUMMARY:
                file.write(text + b"\n")
    except OSError as exc:
        raise OutputError.of(
            f"cannot write the job's summary {path}",
            exc,
            "GITHUB_STEP_SUMMARY must name a file that may be written; --no-github leaves it alone",
        ) from exc


def _commands(comparison: Comparison) -> Iterator[str]:
    first = comparison.first_divergence
    if first is not None:
        yield _command("error", "aligner: first divergence", _first(comparison, first), first)
        for pair in other_culprits(comparison)[:_WARNINGS]:
            yield _command("warning", "aligner: node errs by itself", _about(pair), pair)
        return
    level = {"aligned": "notice", "diverged": "error", "inconclusive": "warning"}[comparison.verdict]
    yield _command(level, f"aligner: {comparison.verdict}", one_line(comparison))


def _first(comparison: Comparison, pair: Pair) -> str:
    lines = [_about(pair)]
    for cause in comparison.causes[:1]:
        lines += [f"{cause.id}: {sentence(cause.evidence)}", f"to do: {sentence(cause.suggestion)}"]
    return "\n".join(lines)


def _about(pair: Pair) -> str:
    return f"{place(pair.reference)} ({operation(pair)}), candidate {label(pair.candidate)}: {pair_message(pair)}"


def _command(level: str, title: str, message: str, pair: Pair | None = None) -> str:
    properties = {"title": title}
    source = None if pair is None else pair.reference.source or pair.candidate.source
    file, colon, line = (source or "").rpartition(":")
    if colon and line.isdigit():
        properties = {"file": file, "line": line} | properties
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {listed}::{_data(message)}"


def _data(text: str) -> str:
    lines = [visible(line) for line in text.replace("%", "%25").split("\n")]
    return "%0A".join(lines)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
