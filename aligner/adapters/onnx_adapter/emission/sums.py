"""What sums up: reductions, running sums, normalisations, softmax, matrix products, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.onnx_adapter.translation import arithmetic
from aligner.adapters.rewriting import Step
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_REDUCTIONS = {form: word for word, form in arithmetic.REDUCTIONS.items()}
_AXES_GIVEN = {"ReduceSum": 13}
"""Version since which axes are an operand; 18 for the others."""


def reduced(w: Writer, form: str, x: str, axes: Any, *, keep: bool = True) -> str:
    """A reduction over axes."""
    word = _REDUCTIONS[form]
    if w.opset >= _AXES_GIVEN.get(word, 18):
        return w(word, x, w.integers(axes), keepdims=int(keep), noop_with_empty_axes=None if axes else 1)
    return w(word, x, axes=[int(axis) for axis in axes], keepdims=int(keep))


def _reduce(w: Writer, step: Step) -> str | tuple[str, ...]:
    settings, x = step.operation.settings, w.operand(step.data[0])
    form, axes, keep = settings["form"], settings["axes"], settings["keep"]
    if form == "range":
        return w("Sub", *(reduced(w, one, x, axes, keep=keep) for one in ("max", "min")))
    if form not in {"var", "std"}:
        if form not in _REDUCTIONS:
            raise Unsupported(form)
        return reduced(w, form, x, axes, keep=keep)
    count = math.prod(step.operation.data[0].shape[axis] for axis in axes)
    centred = w("Sub", x, reduced(w, "mean", x, axes))
    total = reduced(w, "sum", w("Mul", centred, centred), axes, keep=keep)
    found = w("Div", total, w.number(max(count - settings["correction"], 1e-30)))
    found = found if form == "var" else w("Sqrt", found)
    return (found, reduced(w, "mean", x, axes, keep=keep)) if settings.get("with_mean") else found


def _cumsum(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    axis = w.constant(np.asarray(settings["axis"], np.int64))
    ends = {name: int(settings[name]) for name in ("reverse", "exclusive")}
    return w("CumSum", w.operand(step.data[0]), axis, **ends)


def _softmax(w: Writer, step: Step) -> str:
    w.need(13, "Softmax along one axis")
    settings, x = step.operation.settings, w.operand(step.data[0])
    x = x if settings["beta"] == 1 else w("Mul", x, w.number(settings["beta"]))
    word = "Softmax" if step.operation.kind == "softmax" else "LogSoftmax"
    return w(word, x, axis=settings["axis"] % max(step.operation.data[0].ndim, 1))


def _norm(w: Writer, step: Step) -> str:
    settings, x = step.operation.settings, step.operation.data[0]
    form, name = settings["form"], w.operand(step.data[0])
    if form in {"layer", "rms"}:
        return _over_axes(w, step, name, form)
    if form == "length":
        raise Unsupported("a division by length")
    if form == "batch" and not settings.get("training") and "mean" in step.parameters:
        return _batch(w, step, name)
    if form == "instance" and settings["axis"] == 1 and x.ndim >= 3:
        return w("InstanceNormalization", name, *_vectors(w, step, x.shape[1]), epsilon=settings["epsilon"])
    if form == "group" and settings["axis"] == 1:
        return _group(w, step, name)
    if form == "batch":
        axes = [axis for axis in range(x.ndim) if axis != settings["axis"]]
        found = _normalised(w, name, axes, settings["epsilon"])
        return _affine(w, step, found, _across(x, settings["axis"]))
    raise Unsupported(form)


def _vectors(w: Writer, step: Step, size: int) -> tuple[str, str]:
    """Scale and shift, ones and zeros where there are none."""
    given = {"scale": np.ones(size), "shift": np.zeros(size)} | dict(step.parameters)
    return w.operand(_spread(given["scale"], size)), w.operand(_spread(given["shift"], size))


def _spread(given: str | Array, size: int) -> str | Array:
    return given if isinstance(given, str) else np.broadcast_to(given.reshape(-1), (size,))


def _batch(w: Writer, step: Step, name: str) -> str:
    x, settings = step.operation.data[0], step.operation.settings
    size, axis = x.shape[settings["axis"]], settings["axis"]
    order = [0, axis, *(a for a in range(1, x.ndim) if a != axis)]
    if axis == 0:
        raise Unsupported("channels in front")
    statistics = [w.operand(_spread(step.parameters[name], size)) for name in ("mean", "variance")]
    found = w(
        "BatchNormalization",
        w.transpose(name, order),
        *_vectors(w, step, size),
        *statistics,
        epsilon=settings["epsilon"],
    )
    return w.transpose(found, sorted(range(x.ndim), key=order.__getitem__))


def _group(w: Writer, step: Step, name: str) -> str:
    x, settings = step.operation.data[0], step.operation.settings
    groups = settings["groups"]
    parts = w("Reshape", name, w.integers([0, groups, -1]))
    whole = w("Reshape", _normalised(w, parts, [2], settings["epsilon"]), w("Shape", name))
    return _affine(w, step, whole, _across(x, 1))


def _normalised(w: Writer, name: str, axes: list[int], epsilon: float) -> str:
    centred = w("Sub", name, reduced(w, "mean", name, axes))
    variance = reduced(w, "mean", w("Mul", centred, centred), axes)
    return w("Div", centred, w("Sqrt", w("Add", variance, w.number(epsilon))))


def _across(x: Array, axis: int) -> tuple[int, ...]:
    return tuple(size if a == axis else 1 for a, size in enumerate(x.shape) if a >= axis)


def _affine(w: Writer, step: Step, found: str, shape: tuple[int, ...]) -> str:
    for op, role in (("Mul", "scale"), ("Add", "shift")):
        given = step.parameters.get(role)
        if given is None:
            continue
        if isinstance(given, str):
            raise Unsupported("vectors that are computed")
        found = w(op, found, w.constant(given.reshape(shape) if given.size > 1 else given.reshape(())))
    return found


def _over_axes(w: Writer, step: Step, name: str, form: str) -> str:
    x, settings = step.operation.data[0], step.operation.settings
    axes = [axis % x.ndim for axis in settings["axes"]]
    last = axes == list(range(axes[0], x.ndim))
    if form != "layer" or not last or settings["correction"]:
        raise Unsupported("a normalisation over other axes, or with the mean, or a corrected variance")
    w.need(17, "LayerNormalization")
    inner = tuple(x.shape[axis] for axis in axes)
    vectors = [w.optional(step, role, inner) for role in ("scale", "shift")]
    if not vectors[0]:
        vectors[0] = w.constant(np.ones(inner))
    return w("LayerNormalization", name, *vectors, axis=axes[0], epsilon=settings["epsilon"])


def _matmul(w: Writer, step: Step) -> str:
    """A matrix and a bias in one node where the standard has it."""
    settings, kernel, bias = step.operation.settings, step.parameters.get("kernel"), step.parameters.get("bias")
    x, left = step.operation.data[0], w.operand(step.data[0])
    plain = kernel is not None and x.ndim == 2 and settings["scale"] == 1
    if plain and bias is not None and not isinstance(bias, str) and bias.ndim <= 1:
        assert kernel is not None
        return w("Gemm", left, w.operand(kernel), w.constant(bias), transB=1)
    if kernel is None:
        right = w.operand(step.data[1])
    else:
        right = w.transpose(kernel, (1, 0)) if isinstance(kernel, str) else w.constant(kernel.T)
    found = w("MatMul", left, right)
    found = found if settings["scale"] == 1 else w("Mul", found, w.number(settings["scale"]))
    return found if bias is None else w("Add", found, w.operand(bias))


def _einsum(w: Writer, step: Step) -> str:
    w.need(12, "Einsum")
    return w("Einsum", *map(w.operand, step.data), equation=step.operation.settings["equation"])


def _attention(w: Writer, step: Step) -> str:
    settings, (query, key, value) = step.operation.settings, step.operation.data
    names, rank = [w.operand(part) for part in step.data], query.ndim
    turned = w.transpose(names[1], [*range(rank - 2), rank - 1, rank - 2])
    scores = w("Mul", w("MatMul", names[0], turned), w.number(settings["scale"]))
    if settings["softcap"]:
        capped = w("Tanh", w("Div", scores, w.number(settings["softcap"])))
        scores = w("Mul", capped, w.number(settings["softcap"]))
    mask = step.operation.parameters.get("mask")
    lowest = w.number(float(np.finfo(np.float32).min)) if mask is not None or settings["causal"] else ""
    if mask is not None:
        given = w.operand(step.parameters["mask"])
        scores = w("Where", given, scores, lowest) if mask.dtype.kind == "b" else w("Add", scores, given)
    if settings["causal"]:
        lower = np.tri(query.shape[-2], key.shape[-2]).astype(bool)
        scores = w("Where", w.constant(lower), scores, lowest)
    w.need(13, "Softmax along one axis")
    found = w("MatMul", w("Softmax", scores, axis=rank - 1), names[2])
    if settings.get("merged"):
        order = [0, 2, 1, *range(3, rank)]
        found = w("Reshape", w.transpose(found, order), w.integers([0, 0, query.shape[1] * value.shape[-1]]))
    return found


EMITTERS: dict[str, Emitter] = {
    "reduce": _reduce,
    "cumsum": _cumsum,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "norm": _norm,
    "matmul": _matmul,
    "einsum": _einsum,
    "attention": _attention,
}
