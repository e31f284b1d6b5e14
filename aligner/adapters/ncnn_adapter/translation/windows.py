"""Convolutions, pools, resizing: kernels [out, in / groups, *spatial]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import reduced
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import (
    AdaptivePool,
    Clip,
    HardSigmoid,
    Pool,
    Resize,
    Slope,
)
from aligner.operations.window import same_pads, spread, window_of

_SAME = {2: True, 3: False}


def with_activation(call: Call, operation: Operation) -> Operation:
    """What is computed behind the layer, in it or of its result."""
    fused, given = call.text("fused_activation", "none"), call.numbers("activation_params") or ()
    if fused == "none":
        return operation
    if fused == "relu" or (fused == "clip" and given == (0, 6)):
        return operation.with_settings(fused_activation="relu" if fused == "relu" else "relu6")
    data = (compute(operation),)
    if fused == "leaky_relu":
        return Operation(fused, Slope(alpha=float(given[0])), data)
    if fused == "clip":
        return Operation(fused, Clip(min=float(given[0]), max=float(given[1])), data)
    if fused == "hardswish":
        return Operation(fused, HardSigmoid(alpha=float(given[0]), beta=float(given[1])), data)
    return Operation(fused, {}, data)


def _conv(call: Call) -> Operation:
    x, kernel = call.need(0), call.need(1)
    if call.integer("p8", default=0) or call.number("p18", default=0.0):
        raise call.unknown("computed in eight bits, or a border that is not zero")
    window = window_of(call, x.shape[2:], kernel.shape[2:], call.text("auto_pad", "explicit"))
    groups = call.integer("groups", default=1)
    return with_activation(call, convolution(x, kernel, call.operand(2), window, groups))


def _conv_transpose(call: Call) -> Operation:
    """Kernels [out / groups, in, …], group by group: the two are exchanged for the layout that all share."""
    x, kernel, groups = call.need(0), call.need(1), call.integer("groups", default=1)
    sized = call.integer("p20", default=0), call.integer("p21", default=0)
    if "auto_pad" in call.attributes or (call.node.op.endswith(("Deconvolution", "Wise")) and any(sized)):
        raise call.unknown("cropped to a size")
    out, spatial = kernel.shape[0] // groups, kernel.shape[2:]
    kernel = kernel.reshape(groups, out, -1, *spatial).swapaxes(1, 2).reshape(-1, out, *spatial)
    window = window_of(call, x.shape[2:], spatial, "explicit")
    extra = spread(call.attributes.get("output_padding"), len(spatial), 0)
    operation = transposed_convolution(x, kernel, call.operand(2), window, extra, groups=groups)
    return with_activation(call, operation)


def _pool(call: Call) -> Operation:
    """Mode 0 lets a last window reach beyond the border."""
    x, rank = call.need(0), call.need(0).ndim - 2
    mean = call.flag("p0")
    if call.flag("p4"):
        axes = tuple(range(2, x.ndim))
        return reduced(x, "mean" if mean else "max", axes, keep=False)
    if call.flag("p7"):
        kind = "adaptive_avg_pool" if mean else "adaptive_max_pool"
        return Operation(kind, AdaptivePool(output_size=call.need_shape()[2:], channels="first"), (x,))
    width, stride, left = (call.integer(f"p{number}", default=least) for number, least in ((1, 0), (2, 1), (3, 0)))
    kernel = (call.integer("p11", default=width), width)[2 - rank :]
    strides = (call.integer("p12", default=stride), stride)[2 - rank :]
    top = call.integer("p13", default=left)
    pads: tuple[tuple[int, int], ...] = (
        (top, call.integer("p15", default=top)),
        (left, call.integer("p14", default=left)),
    )[2 - rank :]
    mode = call.integer("p5", default=0)
    if mode in _SAME:
        pads = same_pads(x.shape[2:], kernel, strides, (1,) * rank, upper=_SAME[mode])
    settings = Pool(
        kernel=kernel,
        strides=strides,
        dilations=(1,) * rank,
        pads=pads,
        ceil=mode == 0,
        include_pad=call.flag("p6"),
        channels="first",
    )
    return Operation("avg_pool" if mean else "max_pool", settings, (x,))


def _interp(call: Call) -> Operation:
    """1 nearest, 2 bilinear, 3 bicubic; parameter 6 aligns the corners."""
    x, shape = call.need(0), call.need_shape()
    mode = {1: "nearest", 2: "linear", 3: "cubic"}.get(call.integer("p0", default=0))
    if mode is None or x.ndim != 4:
        raise call.unknown("another mode")
    nearest = mode == "nearest"
    given = call.number("p1", default=0.0), call.number("p2", default=0.0)
    scales = (1.0, 1.0, *given) if nearest and all(given) else None
    settings = Resize(
        mode=mode,
        coordinates="asymmetric" if nearest else "align_corners" if call.flag("p6") else "half_pixel",
        rounding="floor",
        shape=shape,
        channels="first",
        scales=scales,
    )
    return Operation("resize", settings, (x,))


WORDS: Vocabulary = {
    **dict.fromkeys(["Convolution", "ConvolutionDepthWise", "Convolution1D", "ConvolutionDepthWise1D"], _conv),
    **dict.fromkeys(["Convolution3D", "ConvolutionDepthWise3D"], _conv),
    **dict.fromkeys(["Deconvolution", "DeconvolutionDepthWise"], _conv_transpose),
    **dict.fromkeys(["Deconvolution1D", "DeconvolutionDepthWise1D"], _conv_transpose),
    **dict.fromkeys(["Pooling", "Pooling1D"], _pool),
    "Interp": _interp,
}
