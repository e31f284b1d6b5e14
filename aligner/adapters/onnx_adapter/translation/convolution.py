"""Convolutions and pools: kernels [out, in / groups, *spatial], explicit padding."""

from __future__ import annotations

from dataclasses import replace

from aligner.adapters.onnx_adapter.blocked import BLOCKED, block_size, known_filter
from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import indexed, reduced, transposed
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import AdaptivePool, Pad, Pool
from aligner.operations.window import Window, cropping, spread, window_of
from aligner.records.array import Array


def _conv(call: Call) -> Operation:
    if call.operand(3) is not None:
        raise call.unknown("a sum fused in")
    x, kernel = call.need(0), call.need(1)
    if call.node.op.startswith(BLOCKED) and not (call.is_constant(1) and known_filter(kernel.shape)):
        raise call.unknown("a filter in unknown blocks")
    window = _window(call, x, kernel.shape[2:])
    return convolution(x, kernel, call.operand(2), window, call.integer("groups", default=1))


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> Window:
    automatic = call.text("auto_pad", "notset")
    found = window_of(call, x.shape[2:], kernel, automatic)
    if found.pads is None and (call.attributes.get("pads") or automatic not in {"notset", "valid"}):
        raise call.unknown("padding of unknown amount")
    return found


def _conv_transpose(call: Call) -> Operation:
    x, kernel, rank = call.need(0), call.need(1), call.need(1).ndim - 2
    window, extra = _window(call, x, kernel.shape[2:]), spread(call.attributes.get("output_padding"), rank, 0)
    if call.attributes.get("auto_pad") or call.attributes.get("output_shape"):
        more_before = call.text("auto_pad", "notset") != "same_upper"
        pads = cropping(call, x.shape[2:], kernel.shape[2:], window, extra, more_before=more_before)
        window = replace(window, pads=pads)
    return transposed_convolution(x, kernel, call.operand(2), window, extra, groups=call.integer("groups", default=1))


def _pool(call: Call) -> Operation:
    x = call.need(0)
    kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
    if not all(kernel):
        raise call.unknown("a pool without a kernel")
    window = _window(call, x, kernel)
    settings = Pool(
        kernel=kernel,
        strides=window.strides,
        dilations=window.dilations,
        pads=window.padding,
        ceil=call.flag("ceil_mode"),
        include_pad=call.flag("count_include_pad"),
        channels="first",
    )
    if call.node.op == "LpPool":
        return Operation("length_pool", {**settings, "order": call.integer("p", default=2)}, (x,))
    return Operation("max_pool" if call.node.op.endswith("MaxPool") else "avg_pool", settings, (x,))


def _global_pool(call: Call) -> Operation:
    x = call.need(0)
    kind = "adaptive_max_pool" if call.node.op.endswith("GlobalMaxPool") else "adaptive_avg_pool"
    return Operation(kind, AdaptivePool(output_size=(1,) * (x.ndim - 2), channels="first"), (x,))


def _reorder_input(call: Call) -> Operation:
    """Channels filled up with zeros to whole blocks; ``channels_last``: they come last."""
    x = call.need(0)
    x = compute(transposed(x, (0, 3, 1, 2))) if call.flag("channels_last") else x
    if not block_size():
        raise call.unknown("blocks of unknown size")
    missing = -x.shape[1] % block_size()
    if not missing:
        return Operation("identity", {}, (x,))
    return Operation("pad", Pad(pads=((0, 0), (0, missing), (0, 0), (0, 0))), (x,))


def _reorder_output(call: Call) -> Operation:
    """The channels that are the model's."""
    x = indexed(call.need(0), (slice(None), slice(call.integer("channels"))))
    return transposed(compute(x), (0, 2, 3, 1)) if call.flag("channels_last") else x


def _global_length(call: Call) -> Operation:
    x = call.need(0)
    if call.integer("p", default=2) not in {1, 2}:
        raise call.unknown("an order other than 1 and 2")
    form = "l1" if call.integer("p", default=2) == 1 else "l2"
    return reduced(x, form, tuple(range(2, x.ndim)), keep=True)


WORDS: Vocabulary = {
    "Conv": _conv,
    "com.microsoft::FusedConv": _conv,
    f"{BLOCKED}::Conv": _conv,
    f"{BLOCKED}::ReorderInput": _reorder_input,
    f"{BLOCKED}::ReorderOutput": _reorder_output,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalMaxPool": _global_pool,
    "GlobalAveragePool": _global_pool,
    f"{BLOCKED}::MaxPool": _pool,
    f"{BLOCKED}::AveragePool": _pool,
    f"{BLOCKED}::GlobalMaxPool": _global_pool,
    f"{BLOCKED}::GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_length,
}
