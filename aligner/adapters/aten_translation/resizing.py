"""Resizing, and sampling at a grid."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary, of_kind
from aligner.operations.layer_forms import grid_sample
from aligner.operations.operation import Operation
from aligner.operations.settings import Resize

_MODES = {"nearest-exact": "nearest", "nearest_exact": "nearest"}


def _resize(call: Call) -> Operation:
    x, mode, shape = call.need(0), call.text("mode", "nearest"), call.need_shape()
    if mode == "area" or len(shape) != x.ndim:
        raise call.unknown(mode)
    antialias = call.flag("antialias") or "_aa" in call.node.op
    coordinates, rounding = _coordinates(call, mode)
    settings = Resize(
        mode=_MODES.get(mode, mode),
        coordinates=coordinates,
        rounding=rounding,
        cubic_a=-0.5 if antialias else -0.75,
        antialias=antialias,
        exclude_outside=antialias,
        shape=shape,
        scales=_scales(call, x.ndim),
        channels="first",
        inverse=True,
    )
    return Operation("resize", settings, (x,))


def _coordinates(call: Call, mode: str) -> tuple[str, str]:
    """Coordinates, and the rounding that goes with them."""
    if mode == "nearest":
        return "asymmetric", "floor"
    if mode in _MODES:
        return "half_pixel", "round_prefer_ceil"
    return "align_corners" if call.flag("align_corners") else "half_pixel", "floor"


def _scales(call: Call, rank: int) -> tuple[float, ...] | None:
    """The factor of every axis, where factors are given and kept."""
    factor = call.attributes.get("scale_factor", call.attributes.get("scale_factors"))
    if not factor or call.flag("recompute_scale_factor"):
        return None
    factors = factor if isinstance(factor, tuple) else (factor,) * (rank - 2)
    if len(factors) != rank - 2 or not all(isinstance(f, (int, float)) for f in factors):
        return None
    return (1.0, 1.0, *(float(f) for f in factors))


_SAMPLED = ("linear", "nearest", "cubic")
_PADDED = ("zeros", "border", "reflection")


def _grid_sample(call: Call) -> Operation:
    """Modes are words of F.grid_sample, numbers of the operator behind it."""
    mode = call.attributes.get("mode", call.attributes.get("interpolation_mode", 0))
    padding = call.attributes.get("padding_mode", 0)
    word = _SAMPLED[mode] if isinstance(mode, int) else str(mode)
    return grid_sample(call, word, _PADDED[padding] if isinstance(padding, int) else str(padding))


_RESIZED = (
    "interpolate upsample upsample_nearest upsample_bilinear upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d upsample_nearest_exact1d "
    "upsample_nearest_exact2d upsample_bilinear2d_aa upsample_bicubic2d_aa"
).split()

WORDS: Vocabulary = {
    **dict.fromkeys(_RESIZED, of_kind("resize")(_resize)),
    **dict.fromkeys("grid_sample grid_sampler grid_sampler_2d grid_sampler_3d".split(), _grid_sample),
}
