"""Convolutions, pools, resizing, recurrent cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.emission.moving import pad
from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.onnx_adapter.wording import coordinates
from aligner.adapters.rewriting import Step
from aligner.operations.operation import Unsupported
from aligner.records.array import Array


def _flat(pads: Any) -> list[int]:
    return [int(begin) for begin, _ in pads] + [int(end) for _, end in pads]


def _convolution(w: Writer, step: Step) -> str:
    settings, x = step.operation.settings, step.operation.data[0]
    kernel, pads, transposed = step.operation.parameters["kernel"], settings["pads"], "output_padding" in settings
    mode = settings.get("padding_mode", "constant")
    if x.ndim != kernel.ndim:
        raise Unsupported("a convolution without a batch")
    name = w.first(w.operand(step.data[0]), x.ndim, settings["channels"])
    if not transposed and (mode not in {"constant", "zeros"} or any(amount < 0 for pair in pads for amount in pair)):
        name = pad(w, name, [(0, 0), (0, 0), *pads], mode)
        pads = [(0, 0)] * len(pads)
    found = w(
        "ConvTranspose" if transposed else "Conv",
        name,
        w.operand(step.parameters["kernel"]),
        w.optional(step, "bias"),
        kernel_shape=list(kernel.shape[2:]),
        strides=list(settings["strides"]),
        dilations=list(settings["dilations"]),
        group=int(settings["groups"]),
        pads=_flat(pads),
        output_padding=list(settings["output_padding"]) if transposed else None,
    )
    return w.back(found, x.ndim, settings["channels"])


def _pool(w: Writer, step: Step) -> str:
    settings, x = step.operation.settings, step.operation.data[0]
    average = step.operation.kind == "avg_pool"
    if settings["divisor"] or settings["fill"] is not None or x.ndim != len(settings["kernel"]) + 2:
        raise Unsupported("a divisor or a padding of its own, or no batch")
    if average and any(dilation != 1 for dilation in settings["dilations"]):
        w.need(19, "a dilated average")
    options: dict[str, Any] = {"count_include_pad": int(settings["include_pad"])} if average else {}
    if any(dilation != 1 for dilation in settings["dilations"]):
        options["dilations"] = list(settings["dilations"])
    found = w(
        "AveragePool" if average else "MaxPool",
        w.first(w.operand(step.data[0]), x.ndim, settings["channels"]),
        kernel_shape=list(settings["kernel"]),
        strides=list(settings["strides"]),
        pads=_flat(settings["pads"]),
        ceil_mode=int(settings["ceil"]),
        **options,
    )
    return w.back(found, x.ndim, settings["channels"])


def _adaptive(w: Writer, step: Step) -> str:
    """One window, or as many of one size as fit."""
    settings, x = step.operation.settings, step.operation.data[0]
    average, wanted = step.operation.kind == "adaptive_avg_pool", tuple(settings["output_size"])
    if x.ndim != len(wanted) + 2:
        raise Unsupported("a pool without a batch")
    name = w.first(w.operand(step.data[0]), x.ndim, settings["channels"])
    sizes = x.shape[1:-1] if settings["channels"] == "last" else x.shape[2:]
    if set(wanted) == {1}:
        found = w("GlobalAveragePool" if average else "GlobalMaxPool", name)
    elif all(size % count == 0 for size, count in zip(sizes, wanted, strict=True)):
        window = [size // count for size, count in zip(sizes, wanted, strict=True)]
        found = w("AveragePool" if average else "MaxPool", name, kernel_shape=window, strides=window)
    else:
        raise Unsupported("windows of several sizes")
    return w.back(found, x.ndim, settings["channels"])


def _resize(w: Writer, step: Step) -> str:
    w.need(11, "Resize with coordinates")
    settings, x = step.operation.settings, step.operation.data[0]
    scales, shape = settings["scales"], settings["shape"]
    options: dict[str, Any] = {"antialias": 1} if settings["antialias"] else {}
    if options:
        w.need(18, "antialiasing")
    exact = scales or [wanted / size for wanted, size in zip(shape, x.shape, strict=True)]
    whole = scales is not None or all(float(np.float32(scale)) == scale for scale in exact)
    nothing = "" if w.opset >= 13 else w.constant32([])  # which was an operand of its own before
    sizes = [nothing, w.constant32(exact)] if whole else [nothing, nothing, w.integers(shape)]
    return w(
        "Resize",
        w.operand(step.data[0]),
        *sizes,
        mode=settings["mode"],
        coordinate_transformation_mode=coordinates(settings["coordinates"]),
        nearest_mode=settings["rounding"] if settings["mode"] == "nearest" else None,
        cubic_coeff_a=settings["cubic_a"] if settings["mode"] == "cubic" else None,
        exclude_outside=int(settings["exclude_outside"]) or None,
        **options,
    )


def _grid_sample(w: Writer, step: Step) -> str:
    w.need(16, "GridSample")
    settings = step.operation.settings
    if settings["channels"] == "last":
        raise Unsupported("a grid sample, channels last")
    mode = settings["mode"]
    if w.opset < 20:
        mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return w(
        "GridSample",
        *map(w.operand, step.data),
        mode=mode,
        padding_mode=settings["padding"],
        align_corners=int(settings["align_corners"]),
    )


_GATES = {"lstm": ("LSTM", "iofg"), "gru": ("GRU", "zrn"), "tanh": ("RNN", "n"), "relu": ("RNN", "n")}


def _recurrent(w: Writer, step: Step) -> tuple[str, ...]:
    settings, x = step.operation.settings, step.operation.data[0]
    op, order = _GATES[settings["cell"]]
    if x.ndim != 3 or any(isinstance(step.parameters.get(name), str) for name in ("w", "r", "b", "rb")):
        raise Unsupported("a cell without a batch, or with computed weights")
    ways = [settings["gates"].index(gate) for gate in order]

    def sorted_rows(array: Array) -> Array:
        parts = np.split(array, len(order), axis=1)
        return np.concatenate([parts[way] for way in ways], axis=1)

    weights = {name: sorted_rows(step.operation.parameters[name]) for name in ("w", "r")}
    zeros = np.zeros(weights["w"].shape[:2])
    halves = [
        sorted_rows(step.operation.parameters[name]) if name in step.operation.parameters else zeros
        for name in ("b", "rb")
    ]
    states = [w.optional(step, name) for name in ("h", "c")]
    name = w.operand(step.data[0])
    count = len(settings["directions"])
    found = w.several(
        op,
        3 if op == "LSTM" else 2,
        w.transpose(name, (1, 0, 2)) if settings["batch_first"] else name,
        w.constant(weights["w"]),
        w.constant(weights["r"]),
        w.constant(np.concatenate(halves, axis=1)),
        "",
        states[0],
        *(states[1:] if op == "LSTM" else []),
        hidden_size=int(weights["r"].shape[2]),
        direction="bidirectional" if count == 2 else settings["directions"][0],
        linear_before_reset=int(settings["after"]) if op == "GRU" else None,
        activations=["Relu"] * count if settings["cell"] == "relu" else None,
    )
    return _laid_out(w, found, settings)


def _laid_out(w: Writer, found: tuple[str, ...], settings: Any) -> tuple[str, ...]:
    """[time, directions, batch, hidden] as the operation has it."""
    steps, *states = found
    if settings["layout"] == "apart":
        if not settings["batch_first"]:
            return found
        return w.transpose(steps, (2, 0, 1, 3)), *(w.transpose(state, (1, 0, 2)) for state in states)
    steps = w.transpose(steps, (2, 0, 1, 3) if settings["batch_first"] else (0, 2, 1, 3))
    return w("Reshape", steps, w.integers([0, 0, -1])), *states


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(("conv", "conv_transpose"), _convolution),
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_avg_pool": _adaptive,
    "adaptive_max_pool": _adaptive,
    "resize": _resize,
    "grid_sample": _grid_sample,
    "recurrent": _recurrent,
}
