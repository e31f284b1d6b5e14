"""The nodes that err by themselves as SARIF 2.1.0, at the line of the model's code where it is known."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from aligner.records.comparison import Comparison, Finding, Pair
from aligner.report.document_file import write_document
from aligner.report.excerpt import one_line
from aligner.report.junit import pair_message
from aligner.report.page import sentence, visible
from aligner.report.portable import portable
from aligner.report.words import label, operation, place, position

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LINE = re.compile("0*[1-9][0-9]{0,8}")
_RULES = {
    "introduced": "A node errs by itself, whatever it is fed.",
    "nonfinite": "A node makes NaN or infinity where the reference has numbers.",
    "output": "Outputs leave the tolerance and no single node is to blame.",
    "inconclusive": "The comparison settled nothing.",
}


def write_sarif(comparison: Comparison, target: Path | TextIO) -> None:
    """Write the log to a file (whole or not at all) or to an open stream.

    Raises OutputError where the target cannot be written.
    """
    write_document(to_sarif(comparison), target)


def to_sarif(comparison: Comparison) -> dict[str, Any]:
    """The log as JSON's own types."""
    comparison = portable(comparison)
    results = [_culprit(comparison, pair) for pair in comparison.introduced] or _without_culprit(comparison)
    used = {result["ruleId"] for result in results}
    driver = {
        "name": "aligner",
        "semanticVersion": version("aligner"),
        "rules": [{"id": name, "shortDescription": {"text": text}} for name, text in _RULES.items() if name in used],
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _culprit(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    first = position([pair], comparison.first_divergence) == 0
    where = place(pair.reference)
    parts = [f"{where} ({operation(pair)}), candidate {label(pair.candidate)}: {pair_message(pair)}."]
    for cause in _causes(comparison, pair):
        parts.append(f"{cause.id}: {sentence(cause.evidence)}. To do: {sentence(cause.suggestion)}.")
    return {
        "ruleId": str(pair.verdict),
        "level": "error" if first else "warning",
        "message": {"text": visible(" ".join(parts))},
        "locations": [_location(comparison, pair)],
        "partialFingerprints": {"pair/v1": visible(f"{pair.reference.name} {pair.candidate.name}")},
    }


def _causes(comparison: Comparison, pair: Pair) -> list[Finding]:
    return [cause for cause in comparison.causes if cause.node in (pair.candidate.node, pair.reference.node)]


def _location(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    file, colon, line = (pair.reference.source or pair.candidate.source or "").rpartition(":")
    known = bool(colon and _LINE.fullmatch(line))
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(file if known else comparison.candidate.path)}}
    if known:
        physical["region"] = {"startLine": int(line)}
    logical = {"fullyQualifiedName": visible(place(pair.reference)), "name": visible(pair.candidate.name)}
    return {"physicalLocation": physical, "logicalLocations": [logical]}


def _uri(path: str) -> str:
    return quote(visible(path).replace("\\", "/"))


def _without_culprit(comparison: Comparison) -> list[dict[str, Any]]:
    if comparison.verdict == "aligned":
        return []
    location = {"physicalLocation": {"artifactLocation": {"uri": _uri(comparison.candidate.path)}}}
    diverged = comparison.verdict == "diverged"
    return [
        {
            "ruleId": "output" if diverged else "inconclusive",
            "level": "error" if diverged else "warning",
            "message": {"text": visible(one_line(comparison))},
            "locations": [location],
        }
    ]
