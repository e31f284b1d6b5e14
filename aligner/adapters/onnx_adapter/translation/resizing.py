"""Resizing, and sampling at a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _resize(call: Call) -> Operation:
    x, attributes = call.need(0), call.attributes
    shape = call.need_shape()
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.unknown("sizes that keep the aspect")
    settings = _settings(call, shape) | {
        "mode": call.text("mode", "nearest"),
        "coordinates": call.text("coordinate_transformation_mode", "half_pixel"),
        "rounding": call.text("nearest_mode", "round_prefer_floor"),
        "antialias": call.flag("antialias"),
        "exclude_outside": call.flag("exclude_outside"),
    }
    scales = attributes.get("scales") or (tuple(call.need(2).reshape(-1)) if call.operand(2) is not None else None)
    axes = call.numbers("axes")
    if isinstance(scales, tuple) and len(scales) == len(axes or shape):
        every = [1.0] * x.ndim
        for axis, scale in zip(axes or range(x.ndim), scales, strict=True):
            every[int(axis) % x.ndim] = float(scale)
        settings["scales"] = tuple(every)
    return Operation("resize", settings, (x,))


def _settings(call: Call, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "mode": "nearest",
        "coordinates": "asymmetric",
        "rounding": "floor",
        "cubic_a": call.number("cubic_coeff_a", default=-0.75),
        "antialias": False,
        "exclude_outside": False,
        "shape": shape,
        "scales": None,
        "channels": "first",
    }


def _upsample(call: Call) -> Operation:
    """The form before version 10: asymmetric coordinates."""
    settings = _settings(call, call.need_shape()) | {"mode": call.text("mode", "nearest")}
    return Operation("resize", settings, (call.need(0),))


_SAMPLED = {"bilinear": "linear", "bicubic": "cubic"}


def _grid_sample(call: Call) -> Operation:
    mode = call.text("mode", "linear")
    settings = {
        "mode": _SAMPLED.get(mode, mode),
        "padding": call.text("padding_mode", "zeros"),
        "align_corners": call.flag("align_corners"),
        "channels": "first",
    }
    return Operation("grid_sample", settings, (call.need(0), call.need(1)))


WORDS: Vocabulary = {"Resize": _resize, "Upsample": _upsample, "GridSample": _grid_sample}
