"""The pairs as CSV, one row each; columns as in ``aligner.report.frame``."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, TextIO

from aligner.alignment.mapping import is_formula
from aligner.records.comparison import Comparison
from aligner.report.document_file import write_text
from aligner.report.frame import COLUMNS, pairs_records
from aligner.report.page import visible
from aligner.report.portable import portable
from aligner.report.selection import EVERYTHING, Selection


def write_csv(comparison: Comparison, target: Path | TextIO, selection: Selection = EVERYTHING) -> None:
    """Write the table of the pairs that are asked for to a file (whole or not at all) or to an open stream.

    Shapes, axes and indices read 1x3x224x224, lists of numbers are separated by spaces, what was not measured is
    empty. A name that a spreadsheet would run as a formula gets an apostrophe in front.
    Raises OutputError where the target cannot be written.
    """
    write_text(to_csv(comparison, selection), target)


def to_csv(comparison: Comparison, selection: Selection = EVERYTHING) -> str:
    """The table as text, lines ended by a bare newline."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in pairs_records(portable(comparison), selection):
        writer.writerow([_cell(row[name], name) for name in COLUMNS])
    return stream.getvalue()


def _cell(value: Any, column: str) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        text = (" " if "unique" in column else "x").join(str(item) for item in value)
        return text if all(isinstance(item, (int, float)) for item in value) else _cell(text, column)
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if is_formula(text) else text
    return value
