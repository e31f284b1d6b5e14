"""Resizing, and sampling at a grid."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import grid_sample
from aligner.operations.operation import Operation
from aligner.operations.settings import Resize
from aligner.operations.window import over_axes


def _resize(call: Call) -> Operation:
    x, shape = call.need(0), call.need_shape()
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.unknown("sizes that keep the aspect")
    said = call.text("coordinate_transformation_mode", "half_pixel")
    settings = Resize(
        mode=call.text("mode", "nearest"),
        coordinates="half_pixel_or_start" if said == "pytorch_half_pixel" else said,
        rounding=call.text("nearest_mode", "round_prefer_floor"),
        shape=shape,
        channels="first",
        cubic_a=call.number("cubic_coeff_a", default=-0.75),
        antialias=call.flag("antialias"),
        exclude_outside=call.flag("exclude_outside"),
        scales=_scales(call, shape),
    )
    return Operation("resize", settings, (x,))


def _scales(call: Call, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """The factor of every axis, where factors are given and not sizes."""
    said = call.attributes.get("scales") or (tuple(call.need(2).reshape(-1)) if call.operand(2) is not None else None)
    axes, rank = call.numbers("axes"), call.need(0).ndim
    if not isinstance(said, tuple) or len(said) != len(axes or shape):
        return None
    return over_axes(rank, axes or range(rank), [float(scale) for scale in said], 1.0)


def _upsample(call: Call) -> Operation:
    """The form before version 10: asymmetric coordinates."""
    mode, shape = call.text("mode", "nearest"), call.need_shape()
    settings = Resize(mode=mode, coordinates="asymmetric", rounding="floor", shape=shape, channels="first")
    return Operation("resize", settings, (call.need(0),))


def _grid_sample(call: Call) -> Operation:
    return grid_sample(call, call.text("mode", "linear"), call.text("padding_mode", "zeros"))


WORDS: Vocabulary = {"Resize": _resize, "Upsample": _upsample, "GridSample": _grid_sample}
