"""Resizing."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Resize


def _resize(call: Call) -> Operation:
    nearest = call.node.op == "RESIZE_NEAREST_NEIGHBOR"
    coordinates, rounding = _coordinates(call)
    settings = Resize(
        mode="nearest" if nearest else "linear",
        coordinates=coordinates,
        rounding=rounding,
        shape=call.need_shape(),
        channels="last",
    )
    return Operation("resize", settings, (call.need(0),))


def _coordinates(call: Call) -> tuple[str, str]:
    """Coordinates, and the rounding that goes with them."""
    if call.flag("align_corners"):
        return "align_corners", "round_prefer_ceil"
    if call.flag("half_pixel_centers"):
        return "half_pixel", "round_prefer_ceil"
    return "asymmetric", "floor"


WORDS: Vocabulary = dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize)
