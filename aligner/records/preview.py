"""What a pair looks like: small pictures of both tensors and of what differs, histograms, the worst elements."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from aligner.records.dataclass import dataclass

BLANK, NOT_FINITE = 254, 255
"""The grey levels of what is no part of the tensor, and of NaN and infinity."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Grey levels row by row, ``height`` × ``width`` bytes; 0 to 253 stand for ``low`` to ``high``.

    See BLANK and NOT_FINITE for the other two.
    """

    height: int
    width: int
    low: float
    high: float
    pixels: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of finite elements in equal bins from ``low`` to ``high``, the same for both sides."""

    low: float
    high: float
    reference: tuple[int, ...]
    candidate: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WorstElement:
    """One element of the largest difference; ``index`` points into the reference."""

    index: tuple[int, ...]
    reference: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Preview:
    """Pictures of one pair, in the reference's axis order.

    ``pair`` is its position among the comparison's pairs; ``error`` says whether the candidate's tensor was computed
    from the reference's own tensors (local) or from the inputs on (accumulated). The pictures are grids of
    ``columns`` tiles a row, one for each of ``channels``; both sides share one scale, and ``difference`` holds
    |candidate − reference|, the largest of the elements that fall into a pixel. ``axis`` names the axis of the tiles,
    None where there is one tile. A tensor larger than its tile is shrunk: means, for the difference the largest.
    """

    pair: int
    error: Literal["local", "accumulated"]
    axis: int | None
    channels: tuple[int, ...]
    columns: int
    reference: Picture
    candidate: Picture
    difference: Picture
    histogram: Histogram | None
    worst: tuple[WorstElement, ...] = ()
