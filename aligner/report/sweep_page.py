"""A sweep as one HTML page that opens offline: nodes along the depth, samples, agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from aligner.records.sweep import Sweep
from aligner.report.document_file import write_text
from aligner.report.html import rendered, shown
from aligner.report.numbers import number, percent
from aligner.report.sweep_table import agreement_words, headline, worst_nodes


def write_sweep_html(sweep: Sweep, target: Path | TextIO) -> None:
    """Write the page to a file (whole or not at all) or to an open stream.

    Raises OutputError where the target cannot be written.
    """
    write_text(to_html(sweep), target)


def to_html(sweep: Sweep) -> str:
    """The page as text."""
    many = max(len(sweep.samples), 1)
    context: dict[str, Any] = {
        "sweep": sweep,
        "line": headline(sweep),
        "agreements": agreement_words(sweep),
        "guilty": [_row(node, many) for node in worst_nodes(sweep)],
        "samples": sorted(sweep.samples, key=lambda one: (-(one.output_error or 0.0), one.index)),
    }
    return rendered("sweep.html.j2", ("sweep.js",), context, _data(sweep))


def _row(node: Any, many: int) -> dict[str, str]:
    return {
        "reference": node.reference,
        "candidate": node.candidate,
        "op": node.op,
        "share": percent(node.introduced / many),
        "median": number(node.errors.quantile(0.5)),
        "high": number(min(node.errors.quantile(0.99), node.worst)),
        "worst": number(node.worst),
        "sample": str(node.worst_sample),
    }


def _data(sweep: Sweep) -> dict[str, Any]:
    """Each node's errors over all samples, in the candidate's order, for the chart."""
    finite = [[_finite(node.errors.quantile(share)) for node in sweep.nodes] for share in (0.5, 0.99)]
    return {
        "names": [shown(node.candidate) for node in sweep.nodes],
        "median": finite[0],
        "high": finite[1],
        "max": [_finite(node.worst) for node in sweep.nodes],
        "introduced": [node.introduced for node in sweep.nodes],
    }


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
