"""A preview as a page shows it: pictures with their captions."""

from __future__ import annotations

import math
from typing import Any

from aligner.records.preview import Picture, Preview
from aligner.report.numbers import number
from aligner.report.picture import data_uri, histogram_uri


def preview_views(preview: Preview) -> dict[str, Any]:
    """JSON's own types: ``strips`` of pictures side by side (``src``, ``caption``), ``worst`` elements."""
    strips = [strip(preview.reference, preview.candidate, preview.difference)]
    if preview.histogram is not None:
        low, high = number(preview.histogram.low), number(preview.histogram.high)
        caption = f"histogram from {low} to {high}: reference filled, candidate as a line"
        strips.append([{"src": histogram_uri(preview.histogram), "caption": caption, "wide": True}])
    return {"error": preview.error, "tiles": tiles(preview), "strips": strips, "worst": _worst(preview)}


def tiles(preview: Preview) -> str:
    """Which part of the tensor the tiles show."""
    if preview.axis is None or len(preview.channels) == 1:
        return ""
    first, last = preview.channels[0], preview.channels[-1]
    if last - first + 1 == len(preview.channels):
        return f"tiles: {first} to {last} along axis {preview.axis}"
    return f"tiles along axis {preview.axis}, the most different: {', '.join(map(str, preview.channels))}"


def strip(reference: Picture, candidate: Picture, difference: Picture) -> list[dict[str, Any]]:
    """Three pictures side by side, each with its scale as the caption."""
    return [
        _picture_view(data_uri(reference), "reference", reference),
        _picture_view(data_uri(candidate), "candidate", candidate),
        _picture_view(data_uri(difference, difference=True), "|candidate − reference|", difference),
    ]


def _picture_view(src: str, name: str, picture: Picture) -> dict[str, Any]:
    return {"src": src, "caption": f"{name}, {number(picture.low)} … {number(picture.high)}", "wide": False}


def _worst(preview: Preview) -> list[list[Any]]:
    return [[list(item.index), _finite(item.reference), _finite(item.candidate)] for item in preview.worst]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
