"""Sensitivity as one HTML page that opens offline: the curve of what restoring nodes buys, the nodes, the lists."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TextIO

from aligner.records.sensitivity import Sensitivity
from aligner.report.document_file import write_text
from aligner.report.exclusion_lists import exclusion_lists
from aligner.report.html import rendered, shown
from aligner.report.sensitivity_text import headline, rows


def write_sensitivity_html(found: Sensitivity, target: Path | TextIO, keep: int | None = None) -> None:
    """Write the page to a file (whole or not at all) or to an open stream. Raises OutputError where it cannot be."""
    write_text(to_html(found, keep), target)


def to_html(found: Sensitivity, keep: int | None = None) -> str:
    """The page as text."""
    context: dict[str, Any] = {
        "found": found,
        "line": headline(found),
        "rows": list(rows(found)),
        "lists": exclusion_lists(found, found.halving if keep is None else keep),
    }
    data = {
        "left": [value if math.isfinite(value) else None for value in found.curve],
        "names": ["nothing", *(shown(node.candidate) for node in found.nodes)],
    }
    return rendered("sensitivity.html.j2", ("sensitivity.js",), context, data)
