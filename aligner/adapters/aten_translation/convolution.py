"""Convolutions and pools; kernels are in the common order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary, pairs_of, same_pads, spread
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> dict[str, Any]:
    rank = len(kernel)
    strides, dilations = (spread(call.attributes.get(name), rank, 1) for name in ("strides", "dilations"))
    said = call.attributes.get("pads")
    pads = pairs_of(said, rank)
    if pads is None and isinstance(said, tuple) and len(said) == 1:
        pads = pairs_of(said * rank, rank)
    if pads is None and call.text("auto_pad", "").startswith("same"):
        pads = same_pads(x.shape[-rank:], kernel, strides, dilations, upper=True)
    if pads is None:
        raise call.unknown("padding of unknown amount")
    return {"strides": strides, "dilations": dilations, "pads": pads, "channels": "first"}


def _parameters(kernel: Array, bias: Array | None) -> dict[str, Array]:
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(-1)}


def _conv(call: Call) -> Operation:
    if call.node.kind == "conv_transpose":
        return _transposed(call)
    x, kernel = call.need(0), call.need(1)
    settings = _window(call, x, kernel.shape[2:]) | {"groups": call.integer("groups", default=1)}
    return Operation("conv", settings, (x,), _parameters(kernel, call.operand(2)))


def _transposed(call: Call) -> Operation:
    x, kernel = call.need(0), call.need(1)
    extra = spread(call.attributes.get("output_padding"), kernel.ndim - 2, 0)
    settings = _window(call, x, kernel.shape[2:]) | {
        "groups": call.integer("groups", default=1),
        "output_padding": extra,
    }
    return Operation("conv_transpose", settings, (x,), _parameters(kernel, call.operand(2)))


def _pool(kind: str, rank: int) -> Any:
    """Windows as wide as they step, where no stride is given."""

    def translate(call: Call) -> Operation:
        x = call.need(0)
        kernel = spread(call.attributes.get("kernel", call.attributes.get("argument_1")), rank, 0)
        if not all(kernel):
            raise call.unknown("a pool without a kernel")
        said = {name: call.attributes.get(f"argument_{place}") for place, name in enumerate(_PLACES[kind], start=2)}
        window = {
            "strides": spread(call.attributes.get("strides") or said["strides"], rank, 0),
            "dilations": spread(call.attributes.get("dilations") or said.get("dilations"), rank, 1),
        }
        if not all(window["strides"]):
            window["strides"] = kernel
        pads = pairs_of(call.attributes.get("pads"), rank)
        if isinstance(said["pads"], (int, tuple)) and not isinstance(said["pads"], bool):
            pads = tuple((pad, pad) for pad in spread(said["pads"], rank, 0))
        ceil = call.attributes.get("ceil_mode", said["ceil_mode"])
        settings = {
            "kernel": kernel,
            "strides": window["strides"],
            "pads": pads or ((0, 0),) * rank,
            "dilations": window["dilations"],
            "ceil": bool(ceil),
            "include_pad": call.flag("count_include_pad", default=kind == "avg_pool"),
            "divisor": call.attributes.get("divisor_override") or None,
            "channels": "first",
        }
        return Operation(kind, settings, (x,))

    return translate


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
        return Operation(f"adaptive_{kind}", {"output_size": given, "channels": "first"}, (x,))

    return translate


WORDS: Vocabulary = {
    **dict.fromkeys("conv1d conv2d conv3d convolution convolution_mode".split(), _conv),
    **dict.fromkeys("conv_transpose1d conv_transpose2d conv_transpose3d".split(), _transposed),
    **{f"max_pool{rank}d": _pool("max_pool", rank) for rank in (1, 2, 3)},
    **{f"max_pool{rank}d_with_indices": _pool("max_pool", rank) for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": _pool("avg_pool", rank) for rank in (1, 2, 3)},
    **{f"adaptive_max_pool{rank}d": _adaptive("max_pool", rank) for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": _adaptive("avg_pool", rank) for rank in (1, 2, 3)},
}
