"""Resizing, and sampling at a grid."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import GridSample, Resize


def _resize(call: Call) -> Operation:
    x, shape = call.need(0), call.need_shape()
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.unknown("sizes that keep the aspect")
    settings = Resize(
        mode=call.text("mode", "nearest"),
        coordinates=call.text("coordinate_transformation_mode", "half_pixel"),
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
    every = [1.0] * rank
    for axis, scale in zip(axes or range(rank), said, strict=True):
        every[int(axis) % rank] = float(scale)
    return tuple(every)


def _upsample(call: Call) -> Operation:
    """The form before version 10: asymmetric coordinates."""
    mode, shape = call.text("mode", "nearest"), call.need_shape()
    settings = Resize(mode=mode, coordinates="asymmetric", rounding="floor", shape=shape, channels="first")
    return Operation("resize", settings, (call.need(0),))


_SAMPLED = {"bilinear": "linear", "bicubic": "cubic"}


def _grid_sample(call: Call) -> Operation:
    mode = call.text("mode", "linear")
    settings = GridSample(
        mode=_SAMPLED.get(mode, mode),
        padding=call.text("padding_mode", "zeros"),
        align_corners=call.flag("align_corners"),
        channels="first",
    )
    return Operation("grid_sample", settings, (call.need(0), call.need(1)))


WORDS: Vocabulary = {"Resize": _resize, "Upsample": _upsample, "GridSample": _grid_sample}
