"""The files a comparison can be written to, beside the terminal and the JSON report."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from aligner.cli.options import together
from aligner.cli.view_options import selection
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    from aligner.records.comparison import Comparison


@dataclass(frozen=True, slots=True)
class _Format:
    """An option, what it says of itself, and the function that writes it: ``write(comparison, target)``.

    One that ``selects`` also takes which pairs to write.
    """

    option: str
    module: str
    writer: str
    help: str
    selects: bool = False


FORMATS = {
    "html_file": _Format("--html", "html", "write_html", "Write one HTML page that opens offline."),
    "csv_file": _Format("--csv", "csv_table", "write_csv", "Write one row for each pair.", True),
    "markdown_file": _Format(
        "--markdown", "markdown", "write_markdown", "Write Markdown for an issue or a comment.", True
    ),
    "junit_file": _Format("--junit", "junit", "write_junit", "Write JUnit XML, one test for each pair."),
    "sarif_file": _Format("--sarif", "sarif", "write_sarif", "Write SARIF 2.1.0 for code scanning."),
    "model_explorer_file": _Format(
        "--model-explorer", "model_explorer", "write_node_data", "Write node data that Model Explorer shows."
    ),
}
report_options = together(
    *(click.option(form.option, name, metavar="FILE", help=form.help) for name, form in FORMATS.items()),
    click.option(
        "--github/--no-github",
        default=None,
        help="Print GitHub annotations and write the job's summary. [default: where GITHUB_ACTIONS is true]",
    ),
)


def wanted(given: dict[str, Any]) -> bool:
    """Whether any of these files was asked for."""
    return any(given.get(name) for name in FORMATS) or bool(given.get("github"))


def to_stdout(given: dict[str, Any]) -> bool:
    """Whether a report takes standard output for itself."""
    return any(given.get(name) == "-" for name in ("json_file", *FORMATS))


def write_reports(comparison: Comparison, given: dict[str, Any], out: TextIO) -> None:
    """Write what the command line asked for; ``-`` is ``out``."""
    for name, form in FORMATS.items():
        if given.get(name):
            writer = getattr(import_module(f"aligner.report.{form.module}"), form.writer)
            target = out if given[name] == "-" else Path(given[name])
            writer(comparison, target, *([selection(given)] if form.selects else []))
    if _on_github(given.get("github")):
        from aligner.report.github import workflow_commands, write_summary

        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            write_summary(comparison, Path(summary))
        if not to_stdout(given):
            out.write(workflow_commands(comparison))


def _on_github(asked: bool | None) -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true" if asked is None else asked
