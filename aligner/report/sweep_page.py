"""A sweep as one HTML page that opens offline: nodes along the depth, samples, agreement."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from aligner.records.dataclass import dataclass
from aligner.records.preview import Picture
from aligner.records.sweep import SampleResult, Sweep
from aligner.report.document_file import write_text
from aligner.report.html import rendered, shown
from aligner.report.numbers import number, percent
from aligner.report.picture import data_uri
from aligner.report.sweep_table import agreement_words, headline, sample_agreement, worst_nodes

_ROWS = 1000
"""Samples that a page lists: a set may hold millions."""


@dataclass(frozen=True, slots=True)
class FullSample:
    """A sample that was compared in full: the page of it, and what was fed where it can be drawn."""

    page: Path
    picture: Picture | None = None


def write_sweep_html(sweep: Sweep, target: Path | TextIO, full: Mapping[int, FullSample] | None = None) -> None:
    """Write the page to a file (whole or not at all) or to an open stream; ``full`` are the worst samples, by place.

    Raises OutputError where the target cannot be written.
    """
    folder = target.parent if isinstance(target, Path) else Path()
    write_text(to_html(sweep, full or {}, folder), target)


def to_html(sweep: Sweep, full: Mapping[int, FullSample] | None = None, folder: Path | None = None) -> str:
    """The page as text; it leads to others relative to ``folder``, where it will stand."""
    many, full = max(len(sweep.samples), 1), full or {}
    context: dict[str, Any] = {
        "sweep": sweep,
        "line": headline(sweep),
        "agreements": agreement_words(sweep),
        "agreement_of": sample_agreement,
        "guilty": [_row(node, many) for node in worst_nodes(sweep)],
        "pages": {index: _address(one.page, folder or Path()) for index, one in full.items()},
        "pictures": {index: data_uri(one.picture) for index, one in full.items() if one.picture is not None},
        "samples": _furthest(sweep),
    }
    return rendered("sweep.html.j2", ("sweep.js",), context, _data(sweep))


def _furthest(sweep: Sweep) -> list[SampleResult]:
    """Those that diverge first, each kind the furthest apart first."""
    samples = sorted(sweep.samples, key=lambda one: (-(one.output_error or 0.0), one.index))
    known = {one.index for one in sweep.breaking}
    return [*sweep.breaking, *(one for one in samples if one.index not in known)][:_ROWS]


def _address(page: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(page, folder)).as_posix())


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
