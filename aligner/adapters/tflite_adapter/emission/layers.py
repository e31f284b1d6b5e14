"""Convolutions, pools, products, resizing: windows have their channels last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.adapters.tflite_adapter.emission.writer import Emitter, Writer, result_of
from aligner.operations.operation import Unsupported
from aligner.operations.window import same_pads
from aligner.records.array import Array


def _spatial(w: Writer, step: Step, rank: int) -> tuple[str, Array]:
    """The data as [batch, height, width, channels]."""
    name, shown = w.operand(step.data[0]), step.operation.data[0]
    if shown.ndim != rank + 2 or rank not in {1, 2}:
        raise Unsupported("windows over other than one or two axes")
    if step.operation.settings["channels"] != "last":
        name, shown = w.transpose(name, shown, (0, *range(2, rank + 2), 1))
    return (name, shown) if rank == 2 else w.reshape(name, shown, (shown.shape[0], 1, *shown.shape[1:]))


def _restored(w: Writer, name: str, step: Step, rank: int) -> str:
    """What was computed of ``_spatial``, as the step has it."""
    result = result_of(step)
    first = step.operation.settings["channels"] != "last"
    last = result.transpose((0, *range(2, rank + 2), 1)) if first else result
    if rank == 1:
        name, last = w.reshape(name, last, last.shape)
    return w.transpose(name, last, (0, rank + 1, *range(1, rank + 1)))[0] if first else name


def _windows(settings: Mapping[str, Any], sizes: Iterable[int], kernel: Iterable[int]) -> dict[str, Any]:
    """Padding, strides and dilations as the schema tells them. Raises Unsupported for pads that have no word there."""
    strides, dilations, pads = (tuple(settings[name]) for name in ("strides", "dilations", "pads"))
    if any(map(any, pads)) and pads != same_pads(sizes, kernel, strides, dilations, upper=True):
        raise Unsupported("pads of their own")
    told: dict[str, Any] = {"padding": 0 if any(map(any, pads)) else 1}
    for axis, stride, dilation in zip("WH", strides[::-1], dilations[::-1], strict=False):
        told |= {f"stride{axis}": stride, f"dilation{axis}Factor": dilation}
    return {"strideH": 1, "dilationHFactor": 1, **told}


def _flat(shown: Array, result: Array, settings: Mapping[str, Any], rank: int) -> Array:
    """What says the shape [batch, height, width, channels] of a result."""
    last = result if settings["channels"] == "last" else result.transpose((0, *range(2, rank + 2), 1))
    return last if rank == 2 else last.reshape(shown.shape[0], 1, *last.shape[1:])


def _conv(w: Writer, step: Step) -> str:
    settings, kernel, bias = step.operation.settings, step.parameters["kernel"], step.parameters.get("bias")
    if isinstance(kernel, str) or isinstance(bias, str) or settings["padding_mode"] not in {"constant", "zeros"}:
        raise Unsupported("a kernel that is computed, or a border of its own")
    rank, groups = kernel.ndim - 2, settings["groups"]
    name, shown = _spatial(w, step, rank)
    told = _windows(settings, shown.shape[3 - rank : 3], kernel.shape[2:])
    kernel = kernel if rank == 2 else kernel[:, :, None]
    vector = w.operand(np.zeros(kernel.shape[0], np.float32) if bias is None else bias.reshape(-1))
    shape = _flat(shown, result_of(step), settings, rank)
    if groups > 1 and kernel.shape[1] == 1:
        told["depthMultiplier"] = kernel.shape[0] // groups
        word, kernel = "DepthwiseConv2D", kernel.transpose(1, 2, 3, 0)
    else:
        word, kernel = "Conv2D", kernel.transpose(0, 2, 3, 1)
    code = "CONV_2D" if word == "Conv2D" else "DEPTHWISE_CONV_2D"
    return _restored(
        w, w(code, shape, name, w.operand(kernel), vector, options=f"{word}Options", told=told), step, rank
    )


def _pool(w: Writer, step: Step) -> str:
    settings, average = dict(step.operation.settings), step.operation.kind == "avg_pool"
    rank = len(settings["kernel"])
    if settings["ceil"] or settings["divisor"] or settings["fill"] is not None or set(settings["dilations"]) != {1}:
        raise Unsupported("a window of another sort")
    name, shown = _spatial(w, step, rank)
    if average and settings["include_pad"] and any(map(any, settings["pads"])):
        pads = ((0, 0),) * (3 - rank) + tuple(settings["pads"]) + ((0, 0),)
        shown = np.pad(shown, pads)
        name, settings["pads"] = w("PAD", shown, name, w.integers(pads)), ((0, 0),) * rank
    told = _windows(settings, shown.shape[3 - rank : 3], settings["kernel"])
    told = {option: value for option, value in told.items() if not option.startswith("dilation")}
    told |= {"filterHeight": 1} | dict(zip(("filterWidth", "filterHeight"), settings["kernel"][::-1], strict=False))
    shape = _flat(shown, result_of(step), settings, rank)
    word = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
    return _restored(w, w(word, shape, name, options="Pool2DOptions", told=told), step, rank)


def _matmul(w: Writer, step: Step) -> str:
    settings, kernel, bias = step.operation.settings, step.parameters.get("kernel"), step.parameters.get("bias")
    if settings["scale"] != 1 or isinstance(bias, str) or isinstance(kernel, str):
        raise Unsupported("a product times a number, or of parameters that are computed")
    if kernel is None:
        return w("BATCH_MATMUL", result_of(step), *map(w.operand, step.data), options="BatchMatMulOptions")
    if bias is not None and bias.size != kernel.shape[0]:
        raise Unsupported("a bias of its own shape")
    vector = w.operand(np.zeros(kernel.shape[0], np.float32) if bias is None else bias.reshape(-1))
    operands, told = (w.operand(step.data[0]), w.operand(kernel), vector), {"keepNumDims": True}
    return w("FULLY_CONNECTED", result_of(step), *operands, options="FullyConnectedOptions", told=told)


def _resize(w: Writer, step: Step) -> str:
    settings, shown = step.operation.settings, step.operation.data[0]
    mode, coordinates, rounding = (settings[name] for name in ("mode", "coordinates", "rounding"))
    told = {"alignCorners": coordinates == "align_corners", "halfPixelCenters": coordinates.endswith("half_pixel")}
    known = {("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil"), ("align_corners", "round_prefer_ceil")}
    plain = not settings["antialias"] and not settings["exclude_outside"] and shown.ndim == 4
    if not plain or not ((mode == "linear" and any(told.values())) or (coordinates, rounding) in known):
        raise Unsupported(f"resizing by {coordinates}, {rounding}")
    word, options = {
        "linear": ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        "nearest": ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    }.get(mode, ("", ""))
    if not word:
        raise Unsupported(mode)
    name, shown = _spatial(w, step, 2)
    shape = _flat(shown, result_of(step), settings, 2)
    found = w(word, shape, name, w.integers(shape.shape[1:3]), options=options, told=told)
    return _restored(w, found, step, 2)


EMITTERS: dict[str, Emitter] = {
    "conv": _conv,
    "max_pool": _pool,
    "avg_pool": _pool,
    "matmul": _matmul,
    "resize": _resize,
}
