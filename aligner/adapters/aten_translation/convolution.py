"""Convolutions and pools; kernels are in the common order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aligner.operations.call import Call, OfKind, Vocabulary, of_kind
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation
from aligner.operations.settings import AdaptivePool, Pool
from aligner.operations.window import Window, pairs_of, spread, window_of
from aligner.records.array import Array


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> Window:
    rank, said = len(kernel), call.attributes.get("pads")
    found = window_of(call, x.shape[-rank:], kernel, call.text("auto_pad", ""))
    if found.pads is None and isinstance(said, tuple) and len(said) == 1:
        found = replace(found, pads=pairs_of(said * rank, rank))
    if found.pads is None:
        raise call.unknown("padding of unknown amount")
    return found


def _conv(call: Call) -> Operation:
    if call.node.kind == "conv_transpose":
        return _transposed(call)
    x, kernel = call.need(0), call.need(1)
    window = _window(call, x, kernel.shape[2:])
    return convolution(x, kernel, call.operand(2), window, call.integer("groups", default=1))


def _transposed(call: Call) -> Operation:
    x, kernel = call.need(0), call.need(1)
    window = _window(call, x, kernel.shape[2:])
    extra = spread(call.attributes.get("output_padding"), kernel.ndim - 2, 0)
    groups = call.integer("groups", default=1)
    return transposed_convolution(x, kernel, call.operand(2), window, extra, groups=groups)


def _pool(kind: str, rank: int) -> Any:
    """Windows as wide as they step, where no stride is given."""

    def translate(call: Call) -> Operation:
        x = call.need(0)
        kernel = spread(call.attributes.get("kernel", call.attributes.get("argument_1")), rank, 0)
        if not all(kernel):
            raise call.unknown("a pool without a kernel")
        said = {name: call.attributes.get(f"argument_{place}") for place, name in enumerate(_PLACES[kind], start=2)}
        strides = spread(call.attributes.get("strides") or said["strides"], rank, 0)
        pads = pairs_of(call.attributes.get("pads"), rank)
        if isinstance(said["pads"], (int, tuple)) and not isinstance(said["pads"], bool):
            pads = tuple((pad, pad) for pad in spread(said["pads"], rank, 0))
        ceil = call.attributes.get("ceil_mode", said["ceil_mode"])
        divisor = call.attributes.get("divisor_override")
        settings = Pool(
            kernel=kernel,
            strides=strides if all(strides) else kernel,
            pads=pads or ((0, 0),) * rank,
            dilations=spread(call.attributes.get("dilations") or said.get("dilations"), rank, 1),
            ceil=bool(ceil),
            include_pad=call.flag("count_include_pad", default=kind == "avg_pool"),
            divisor=divisor if isinstance(divisor, int) and divisor else None,
            channels="first",
        )
        return Operation(kind, settings, (x,))

    return OfKind(kind, translate)


_PLACES = {
    "max_pool": ("strides", "pads", "dilations", "ceil_mode"),
    "avg_pool": ("strides", "pads", "ceil_mode"),
}
"""Arguments behind the kernel, for calls whose arguments no signature names."""


def _adaptive(kind: str, rank: int) -> Any:
    def translate(call: Call) -> Operation:
        x, size = call.need(0), call.attributes.get("output_size")
        if not isinstance(size, (int, tuple)):
            size = call.need_shape()[-rank:]
        sizes = size if isinstance(size, tuple) else (size,) * rank
        given = tuple(n if isinstance(n, int) else m for n, m in zip(sizes, x.shape[-rank:], strict=True))
        return Operation(f"adaptive_{kind}", AdaptivePool(output_size=given, channels="first"), (x,))

    return OfKind(kind, translate)


WORDS: Vocabulary = {
    **dict.fromkeys("conv1d conv2d conv3d convolution convolution_mode".split(), of_kind("conv")(_conv)),
    **dict.fromkeys(
        "conv_transpose1d conv_transpose2d conv_transpose3d".split(), of_kind("conv_transpose")(_transposed)
    ),
    **{f"max_pool{rank}d": _pool("max_pool", rank) for rank in (1, 2, 3)},
    **{f"max_pool{rank}d_with_indices": _pool("max_pool", rank) for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": _pool("avg_pool", rank) for rank in (1, 2, 3)},
    **{f"adaptive_max_pool{rank}d": _adaptive("max_pool", rank) for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": _adaptive("avg_pool", rank) for rank in (1, 2, 3)},
}
