"""Pictures in the JSON report: grey levels deflated and in base64, numbers as they are."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

from aligner.records.preview import Histogram, Picture, Preview, WorstElement

_LARGEST = 1 << 20
"""Pixels of the largest picture that is read."""


def preview_document(preview: Preview) -> dict[str, Any]:
    """PREVIEW of the JSON report; a number that is not finite is null."""
    histogram = preview.histogram
    return {
        "pair": preview.pair,
        "error": preview.error,
        "axis": preview.axis,
        "channels": list(preview.channels),
        "columns": preview.columns,
        "reference": picture_document(preview.reference),
        "candidate": picture_document(preview.candidate),
        "difference": picture_document(preview.difference),
        "histogram": None
        if histogram is None
        else {
            "low": histogram.low,
            "high": histogram.high,
            "reference": list(histogram.reference),
            "candidate": list(histogram.candidate),
        },
        "worst": [
            {"index": list(item.index), "reference": _finite(item.reference), "candidate": _finite(item.candidate)}
            for item in preview.worst
        ],
    }


def preview_from(document: Mapping[str, Any]) -> Preview:
    """The preview a document was made from; ValueError where its pictures are not whole."""
    if document["error"] not in ("local", "accumulated"):
        raise ValueError(f"error {document['error']!r}")
    histogram = document["histogram"]
    return Preview(
        pair=int(document["pair"]),
        error=document["error"],
        axis=document["axis"],
        channels=tuple(map(int, document["channels"])),
        columns=int(document["columns"]),
        reference=picture_from(document["reference"]),
        candidate=picture_from(document["candidate"]),
        difference=picture_from(document["difference"]),
        histogram=None
        if histogram is None
        else Histogram(
            float(histogram["low"]),
            float(histogram["high"]),
            tuple(map(int, histogram["reference"])),
            tuple(map(int, histogram["candidate"])),
        ),
        worst=tuple(
            WorstElement(tuple(map(int, item["index"])), _number(item["reference"]), _number(item["candidate"]))
            for item in document["worst"]
        ),
    )


def picture_document(picture: Picture) -> dict[str, Any]:
    """PICTURE of the JSON report."""
    pixels = base64.b64encode(zlib.compress(picture.pixels, 9)).decode("ascii")
    return {
        "height": picture.height,
        "width": picture.width,
        "low": picture.low,
        "high": picture.high,
        "pixels": pixels,
    }


def picture_from(document: Mapping[str, Any]) -> Picture:
    """The picture a document was made from; ValueError where it is not whole."""
    height, width = int(document["height"]), int(document["width"])
    size = height * width
    if height < 1 or width < 1 or size > _LARGEST:
        raise ValueError(f"a picture of {height}×{width}")
    try:
        inflate = zlib.decompressobj()
        pixels = inflate.decompress(base64.b64decode(document["pixels"], validate=True), size + 1)
    except (zlib.error, binascii.Error) as exc:
        raise ValueError(f"pixels: {exc}") from exc
    if len(pixels) != size:
        raise ValueError(f"{len(pixels)} pixels instead of {size}")
    return Picture(height, width, float(document["low"]), float(document["high"]), pixels)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
