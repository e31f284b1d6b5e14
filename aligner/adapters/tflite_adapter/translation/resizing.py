"""Resizing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _resize(call: Call) -> Operation:
    nearest = call.node.op == "RESIZE_NEAREST_NEIGHBOR"
    settings = {
        "mode": "nearest" if nearest else "linear",
        **_coordinates(call),
        "cubic_a": -0.75,
        "antialias": False,
        "exclude_outside": False,
        "shape": call.need_shape(),
        "scales": None,
        "channels": "last",
    }
    return Operation("resize", settings, (call.need(0),))


def _coordinates(call: Call) -> dict[str, str]:
    if call.flag("align_corners"):
        return {"coordinates": "align_corners", "rounding": "round_prefer_ceil"}
    if call.flag("half_pixel_centers"):
        return {"coordinates": "half_pixel", "rounding": "round_prefer_ceil"}
    return {"coordinates": "asymmetric", "rounding": "floor"}


WORDS: Vocabulary = dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize)
