"""Resizing, and sampling at a grid."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import grid_sample
from aligner.operations.operation import Operation
from aligner.operations.settings import Resize
from aligner.operations.window import over_axes

_MODES = {"nearest": "nearest", "linear": "linear", "linear_onnx": "linear", "cubic": "cubic"}


def _interpolate(call: Call) -> Operation:
    """Operands input, then sizes or scales (before operation set 11 both), then the axes that they speak of."""
    x, shape = call.need(0), call.need_shape()
    mode = _MODES.get(call.text("mode", ""))
    if mode is None or any(call.numbers("pads_begin") or ()) or any(call.numbers("pads_end") or ()):
        raise call.unknown("a mode of Pillow's, or padding")
    coordinates, rounding = _places(call, shrinks=any(b < a for a, b in zip(x.shape, shape, strict=True)))
    settings = Resize(
        mode=mode,
        coordinates=coordinates,
        rounding=rounding,
        shape=shape,
        channels="first",
        cubic_a=call.number("cube_coeff", default=-0.75),
        antialias=call.flag("antialias"),
        scales=_scales(call, x.ndim),
    )
    return Operation("resize", settings, (x,))


def _places(call: Call, *, shrinks: bool) -> tuple[str, str]:
    """Coordinates, and the rounding that goes with them."""
    coordinates = call.text("coordinate_transformation_mode", "half_pixel")
    rounding = call.text("nearest_mode", "round_prefer_floor")
    if rounding == "simple":
        rounding = "ceil" if shrinks else "floor"
    if coordinates == "tf_half_pixel_for_nn":
        if rounding != "floor" or call.text("mode", "") != "nearest":
            raise call.unknown("TensorFlow's half pixels in another mode than nearest")
        return "half_pixel", "round_prefer_ceil"  # ⌊(i + ½) / scale⌋
    return {"pytorch_half_pixel": "half_pixel_or_start"}.get(coordinates, coordinates), rounding


def _scales(call: Call, rank: int) -> tuple[float, ...] | None:
    """The factor of every axis, where factors decide and not sizes."""
    if call.text("shape_calculation_mode", "sizes") != "scales":
        return None
    older = call.operand(2) is not None and call.need(2).dtype.kind == "f"
    factors = call.need(2 if older else 1).reshape(-1)
    axes = call.integers(3 if older else 2) or range(rank)
    return over_axes(rank, axes, [float(factor) for factor in factors], 1.0)


def _grid_sample(call: Call) -> Operation:
    return grid_sample(call, call.text("mode", "bilinear"), call.text("padding_mode", "zeros"))


WORDS: Vocabulary = {"Interpolate": _interpolate, "GridSample": _grid_sample}
