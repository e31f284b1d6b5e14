"""Pictures of tensors as PNG, small enough to stand inside a page."""

from __future__ import annotations

import base64
import struct
import zlib

from aligner.records.preview import BLANK, NOT_FINITE, Histogram, Picture

_VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_INFERNO = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Stops of matplotlib's palettes of these names (CC0); both read in grey and by the colour-blind."""

_NOT_FINITE = (255, 0, 255)


def png(picture: Picture, *, difference: bool = False) -> bytes:
    """The picture in colour: values from dark to yellow, differences from black to white; NaN and inf magenta.

    What is no part of the tensor is transparent.
    """
    palette = _palette(_INFERNO if difference else _VIRIDIS)
    rows = (picture.pixels[start : start + picture.width] for start in range(0, len(picture.pixels), picture.width))
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 3, 0, 0, 0)
    alpha = bytes(0 if level == BLANK else 255 for level in range(256))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette),
            _chunk(b"tRNS", alpha),
            _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9)),
            _chunk(b"IEND", b""),
        )
    )


def colours(*, difference: bool = False) -> list[tuple[int, int, int]]:
    """Red, green and blue of each grey level."""
    palette = _palette(_INFERNO if difference else _VIRIDIS)
    return [(palette[at], palette[at + 1], palette[at + 2]) for at in range(0, len(palette), 3)]


def data_uri(picture: Picture, *, difference: bool = False) -> str:
    """The PNG as an address that needs no network."""
    return "data:image/png;base64," + base64.b64encode(png(picture, difference=difference)).decode("ascii")


def histogram_uri(histogram: Histogram, *, height: int = 64) -> str:
    """Both sides' counts as an SVG: the reference filled, the candidate as a line."""
    peak = max((*histogram.reference, *histogram.candidate, 1))
    bins = len(histogram.reference)
    tops = [[height - height * many / peak for many in side] for side in (histogram.reference, histogram.candidate)]
    steps = [" ".join(f"{x},{y:.1f} {x + 1},{y:.1f}" for x, y in enumerate(side)) for side in tops]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {bins} {height}" preserveAspectRatio="none">'
        f'<polygon points="0,{height} {steps[0]} {bins},{height}" fill="#5b8db8" fill-opacity="0.55"/>'
        f'<polyline points="0,{height} {steps[1]} {bins},{height}" fill="none" stroke="#d98200" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _palette(stops: tuple[tuple[int, int, int], ...]) -> bytes:
    last = len(stops) - 1
    colours = bytearray()
    for level in range(BLANK):
        place = level / (BLANK - 1) * last
        low = min(int(place), last - 1)
        share = place - low
        colours += bytes(round(a + (b - a) * share) for a, b in zip(stops[low], stops[low + 1], strict=True))
    assert len(colours) == 3 * BLANK
    return bytes(colours) + bytes(3 * (NOT_FINITE - BLANK)) + bytes(_NOT_FINITE)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
