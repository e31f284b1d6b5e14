"""Windows of convolutions and pools: defaults by rank, and ``auto_pad`` turned into explicit padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.operations.window import halved, same_pads
from aligner.records.graph import Attribute, Shape

_WEIGHTED = frozenset("Conv ConvTranspose ConvInteger QLinearConv FusedConv DeformConv".split())
_POOLS = frozenset("MaxPool AveragePool LpPool QLinearAveragePool MaxUnpool".split())
SPATIAL = _WEIGHTED | _POOLS

_Pads = tuple[tuple[int, int], ...]


def spatial(op_type: str, found: Mapping[str, Attribute], shapes: tuple[Shape | None, ...]) -> dict[str, Attribute]:
    """Fill in kernel, strides, dilations and pads; ``shapes`` are those of the operands ([N, C, …] first)."""
    attributes = dict(found)
    weight_position = 3 if op_type == "QLinearConv" else 1
    weight = shapes[weight_position] if op_type in _WEIGHTED and len(shapes) > weight_position else None
    if "kernel" not in attributes and weight is not None and None not in weight:
        attributes["kernel"] = tuple(weight[2:])
    kernel = attributes.get("kernel")
    if not isinstance(kernel, tuple):
        return attributes
    rank = len(kernel)
    attributes.setdefault("strides", (1,) * rank)
    attributes.setdefault("dilations", (1,) * rank)
    if op_type in _WEIGHTED:
        attributes.setdefault("groups", 1)
    _set_pads(op_type, attributes, rank, shapes[0] if shapes else None)
    return attributes


def _set_pads(op_type: str, attributes: dict[str, Any], rank: int, shape: Shape | None) -> None:
    automatic = attributes.pop("auto_pad", "NOTSET") or "NOTSET"
    flat = attributes.get("pads")
    if op_type == "ConvTranspose" and "output_shape" in attributes:
        pads = _transposed(attributes, rank, shape, automatic)
    elif automatic in ("SAME_UPPER", "SAME_LOWER"):
        transposed = op_type == "ConvTranspose"
        pads = (_transposed if transposed else _same)(attributes, rank, shape, automatic)
    elif automatic == "VALID" or flat is None or len(flat) != 2 * rank:
        pads = ((0, 0),) * rank
    else:
        pads = tuple(zip(flat[:rank], flat[rank:], strict=True))
    attributes.pop("pads", None)
    if pads is None:
        attributes["auto_pad"] = automatic  # the input's size is not known, so neither is the padding
    else:
        attributes["pads"] = pads


def _same(attributes: Mapping[str, Any], rank: int, shape: Shape | None, automatic: str) -> _Pads | None:
    """Padding that makes the output ceil(input / stride) long."""
    sizes = _sizes(shape, rank)
    return None if sizes is None else same_pads(sizes, *_window(attributes), upper=automatic == "SAME_UPPER")


def _transposed(attributes: Mapping[str, Any], rank: int, shape: Shape | None, automatic: str) -> _Pads | None:
    """Padding of a transposed convolution whose output size is given (ONNX, ConvTranspose's formula)."""
    sizes = _sizes(shape, rank)
    if sizes is None:
        return None
    extra = attributes.get("output_padding") or (0,) * rank
    strides = attributes["strides"]
    wanted = attributes.get("output_shape") or tuple(n * s for n, s in zip(sizes, strides, strict=True))
    pads = []
    window = zip(sizes, *_window(attributes), extra, wanted[-rank:], strict=True)
    for size, kernel, stride, dilation, more, output in window:
        total = max(stride * (size - 1) + more + (kernel - 1) * dilation + 1 - output, 0)
        pads.append(halved(total, more_behind=automatic == "SAME_UPPER"))
    return tuple(pads)


def _sizes(shape: Shape | None, rank: int) -> tuple[int, ...] | None:
    if shape is None or len(shape) != rank + 2:
        return None
    known = tuple(size for size in shape[2:] if size is not None)
    return known if len(known) == rank else None


def _window(attributes: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return attributes["kernel"], attributes["strides"], attributes["dilations"]
