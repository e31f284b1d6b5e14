"""The numbers of ERRORS as every report prints them: the record says their names and digits."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aligner.records.comparison import Errors
from aligner.report.numbers import index, number, percent

_WORST = "max_abs"


def error_rows(errors: Errors | None, *, importance: int = 9) -> dict[str, str]:
    """Label and text of each number that is at least so important (0 is the most); empty without errors."""
    if errors is None:
        return {}
    return {item["label"]: _text(errors, item) for item in listed() if item["importance"] <= importance}


def listed() -> list[dict[str, Any]]:
    """The numbers of ERRORS in their order: ``key``, ``label``, ``digits``, ``share``, ``importance``, ``at``.

    ``at`` names the key of the position that belongs to a number, None for most.
    """
    found = [dict(item.metadata) | {"key": item.name, "at": None} for item in fields(Errors) if item.metadata]
    for item in found:
        if item["key"] == _WORST:
            item["at"] = "worst_index"
    return found


def _text(errors: Errors, item: dict[str, Any]) -> str:
    value = getattr(errors, item["key"])
    if item["share"]:
        return f"{percent(value)} of elements"
    text = number(value, item["digits"])
    return f"{text} at {index(getattr(errors, item['at']))}" if item["at"] else text
