"""Rewrite an operation into simpler ones until nothing lowers: what a fused node holds, by name of primitive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from aligner.operations.operation import Operation, activation, compute
from aligner.operations.settings import (
    Approximated,
    Attention,
    BatchNorm,
    Clip,
    Convolution,
    HardSigmoid,
    InstanceNorm,
    LayerNorm,
    Norm,
    Pad,
    Pool,
    Product,
    Reduce,
    Reshape,
    RmsNorm,
    Settings,
    Softmax,
    Softplus,
    Swish,
    Transpose,
    TransposedConvolution,
    Windowed,
)
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

Axes = tuple[int, ...]

_NOTHING = Settings()


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One step of a lowered operation; ``value`` is its result, in the layout of the operation's own operands.

    ``name`` says what it is to the whole ("product", "softmax.total"); names are unique within one lowering.
    """

    name: str
    operation: Operation
    value: Array


def lower(operation: Operation) -> tuple[Primitive, ...]:
    """The primitives that make an operation, in order of execution; the last one's value is the operation's result.

    What does not lower is its own only primitive. Raises Unsupported where a primitive cannot be computed.
    """
    tape = _Tape()
    tape.run(operation, "result")
    return tuple(tape.steps)


def lowers(operation: Operation) -> bool:
    """Whether an operation is made of simpler ones."""
    return _rule(operation) is not None


class _Tape:
    """Computes primitives one by one and keeps them; names that come again are numbered."""

    def __init__(self) -> None:
        self.steps: list[Primitive] = []
        self._names: set[str] = set()

    def __call__(self, name: str, kind: str, *data: Array, by: Settings = _NOTHING) -> Array:
        return self.run(Operation(kind, by, data), name)

    def run(self, operation: Operation, name: str) -> Array:
        """Add what an operation lowers to; its last primitive bears the name, those before it stand below it."""
        rule = _rule(operation)
        if rule is None:
            return self._add(name, operation, compute(operation))
        inner = _Tape()
        result = rule(inner, operation)
        for step in inner.steps[:-1]:
            self._add(step.name if name == "result" else f"{name}.{step.name}", step.operation, step.value)
        last = inner.steps[-1]
        return self._add(last.name if name == "result" else name, last.operation, result)

    def _add(self, name: str, operation: Operation, value: Array) -> Array:
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}.{count}"
        self._names.add(found)
        self.steps.append(Primitive(found, operation, value))
        return value


Rule = Callable[[_Tape, Operation], "Array"]


def _rule(operation: Operation) -> Rule | None:
    settings = operation.read(Settings)
    if settings.range is not None:
        return _saturated
    if settings.fused_activation != "none":
        return _fused
    rule = _RULES.get(operation.kind)
    return rule if rule is not None and _applies(operation) else None


def _applies(operation: Operation) -> bool:
    """Whether there is anything to take apart: a product without a bias is a primitive, and so is an unpadded pool."""
    settings = operation.settings
    if isinstance(settings, (Convolution, TransposedConvolution, Product)):
        padded = isinstance(settings, Convolution) and any(map(any, settings.pads))
        scaled = isinstance(settings, Product) and settings.scale != 1.0
        return "bias" in operation.parameters or padded or scaled
    if isinstance(settings, Pool):
        return any(map(any, settings.pads)) and not settings.ceil
    if isinstance(settings, Norm):
        if isinstance(settings, LayerNorm) and settings.correction:
            return False
        return settings.form in _NORMS and (not isinstance(settings, BatchNorm) or _frozen(operation, settings))
    return True


def _saturated(tape: _Tape, operation: Operation) -> Array:
    low, high = operation.read(Settings).range or (-math.inf, math.inf)
    inner = tape.run(operation.with_settings(range=None), "result")
    return tape("stored", "clip", inner, by=Clip(min=low, max=high))


def _fused(tape: _Tape, operation: Operation) -> Array:
    before = tape.run(operation.with_settings(fused_activation="none"), "result")
    return tape.run(activation(operation.fused_activation, before), "activation")


def _matmul(tape: _Tape, operation: Operation) -> Array:
    settings, rest, bias = operation.read(Product), dict(operation.parameters), operation.parameters.get("bias")
    rest.pop("bias", None)
    result = tape.run(Operation("matmul", replace(settings, scale=1.0), operation.data, rest), "product")
    if settings.scale != 1.0:
        result = tape("scaled", "mul", result, _number(settings.scale))
    return result if bias is None else tape("biased", "add", result, bias)


def _convolution(tape: _Tape, operation: Operation) -> Array:
    settings, rest, bias = operation.read(Windowed), dict(operation.parameters), operation.parameters.get("bias")
    rest.pop("bias", None)
    data = operation.data[0]
    if isinstance(settings, Convolution) and any(map(any, settings.pads)):
        pads = _every_axis(data, settings.pads, settings.channels)
        data = tape("padded", "pad", data, by=Pad(pads=pads, mode=settings.padding_mode))
        settings = replace(settings, pads=_unpadded(settings), padding_mode="constant")
    result = tape.run(Operation(operation.kind, settings, (data,), rest), "product")
    return result if bias is None else tape("biased", "add", result, _along(bias, settings))


def _pool(tape: _Tape, operation: Operation) -> Array:
    settings, data = operation.read(Pool), operation.data[0]
    border = -math.inf if settings.fill is None else settings.fill
    pads = _every_axis(data, settings.pads, settings.channels)
    padded = tape("padded", "pad", data, by=Pad(pads=pads, value=border))
    return tape.run(replace(operation, data=(padded,), settings=replace(settings, pads=_unpadded(settings))), "pooled")


def _unpadded(settings: Windowed) -> tuple[tuple[int, int], ...]:
    return tuple((0, 0) for _ in settings.pads)


def _every_axis(data: Array, pads: Any, channels: str) -> tuple[tuple[int, int], ...]:
    lead = data.ndim - len(pads)
    none = ((0, 0),)
    return none * (lead - 1) + tuple(pads) + none if channels == "last" else none * lead + tuple(pads)


def _along(vector: Array, settings: Windowed) -> Array:
    """One number for each channel, shaped to be added to a convolution's result."""
    after = 0 if settings.channels == "last" else len(settings.strides)
    return vector.reshape(-1, *(1,) * after)


def _frozen(operation: Operation, settings: BatchNorm) -> bool:
    return not settings.training and "mean" in operation.parameters


def _norm(tape: _Tape, operation: Operation) -> Array:
    return _NORMS[operation.read(Norm).form](tape, operation)


def _batch_norm(tape: _Tape, operation: Operation) -> Array:
    p = {name: array.astype(np.float64) for name, array in operation.parameters.items()}
    settings, across = operation.read(BatchNorm), [1] * operation.data[0].ndim
    across[settings.axis] = -1
    scale = p.get("scale", 1.0) / np.sqrt(p["variance"] + settings.epsilon)
    scaled = tape("scaled", "mul", operation.data[0], scale.reshape(across))
    return tape("shifted", "add", scaled, (p.get("shift", 0.0) - p["mean"] * scale).reshape(across))


def _layer_norm(tape: _Tape, operation: Operation) -> Array:
    axes = operation.read(LayerNorm).axes
    return _centred(tape, operation, operation.data[0], axes, axes)


def _instance_norm(tape: _Tape, operation: Operation) -> Array:
    x, channel = operation.data[0], operation.read(InstanceNorm).axis
    axes = tuple(axis for axis in range(x.ndim) if axis not in {0, channel})
    return _centred(tape, operation, x, axes, (channel,))


def _rms_norm(tape: _Tape, operation: Operation) -> Array:
    axes = operation.read(RmsNorm).axes
    return _divided(tape, operation, (operation.data[0], operation.data[0]), axes, axes)


def _centred(tape: _Tape, operation: Operation, x: Array, axes: Axes, affine: Axes) -> Array:
    mean = tape("mean", "reduce", x, by=Reduce(form="mean", axes=axes, keep=True))
    return _divided(tape, operation, (x, tape("centred", "sub", x, mean)), axes, affine)


def _divided(tape: _Tape, operation: Operation, sides: tuple[Array, Array], axes: Axes, affine: Axes) -> Array:
    """(x − mean) over the root of its mean square, times scale plus shift along the axes ``affine``."""
    squares = tape("squares", "square", sides[1])
    variance = tape("variance", "reduce", squares, by=Reduce(form="mean", axes=axes, keep=True))
    offset = tape("offset", "add", variance, _number(operation.read(Norm).epsilon))
    result = tape("normalised", "div", sides[1], tape("deviation", "sqrt", offset))
    across = [result.shape[axis] if axis in affine else 1 for axis in range(result.ndim)]
    for name, role, kind in (("scaled", "scale", "mul"), ("shifted", "shift", "add")):
        if role in operation.parameters:
            vector = operation.parameters[role]
            result = tape(name, kind, result, vector.reshape(across if vector.size > 1 else ()))
    return result


_NORMS: dict[str, Rule] = {
    "batch": _batch_norm,
    "layer": _layer_norm,
    "instance": _instance_norm,
    "rms": _rms_norm,
}


def _softmax(tape: _Tape, operation: Operation) -> Array:
    exponentials = _exponentials(tape, operation)
    return tape("quotient", "div", exponentials, _total(tape, exponentials, operation.read(Softmax).axis))


def _log_softmax(tape: _Tape, operation: Operation) -> Array:
    exponentials = _exponentials(tape, operation)
    shifted = tape.steps[-2].value
    total = _total(tape, exponentials, operation.read(Softmax).axis)
    return tape("difference", "sub", shifted, tape("logarithm", "log", total))


def _exponentials(tape: _Tape, operation: Operation) -> Array:
    x, settings = operation.data[0], operation.read(Softmax)
    if settings.beta != 1.0:
        x = tape("scaled", "mul", x, _number(settings.beta))
    largest = tape("largest", "reduce", x, by=Reduce(form="max", axes=(settings.axis,), keep=True))
    return tape("exponentials", "exp", tape("shifted", "sub", x, largest))


def _total(tape: _Tape, exponentials: Array, axis: int) -> Array:
    return tape("total", "reduce", exponentials, by=Reduce(form="sum", axes=(axis,), keep=True))


def _attention(tape: _Tape, operation: Operation) -> Array:
    settings, (query, key, value) = operation.read(Attention), operation.data
    scores = tape("scores", "matmul", query, key.swapaxes(-1, -2))
    scores = tape("scaled", "mul", scores, _number(settings.scale))
    mask = operation.parameters.get("mask")
    if mask is not None:
        if mask.dtype.kind == "b":
            scores = tape("masked", "where", mask, scores, _number(-math.inf))
        else:
            scores = tape("masked", "add", scores, mask)
    if settings.causal:
        below = np.tri(*scores.shape[-2:]).astype(bool)
        scores = tape("causal", "where", below, scores, _number(-math.inf))
    weights = tape("softmax", "softmax", scores, by=Softmax(axis=scores.ndim - 1))
    mixed = tape("mixed", "matmul", weights, value)
    if not settings.merged:
        return mixed
    apart = tape("turned", "transpose", mixed, by=Transpose(perm=(0, 2, 1, 3)))
    return tape("merged", "reshape", apart, by=Reshape(shape=(*apart.shape[:2], apart.shape[2] * apart.shape[3])))


def _gelu(tape: _Tape, operation: Operation) -> Array:
    x, form = operation.data[0], operation.read(Approximated).approximate
    if form == "quick":
        gate = tape("sigmoid", "sigmoid", tape("scaled", "mul", x, _number(1.702)))
        return tape("gated", "mul", x, gate)
    if form == "tanh":
        cube = tape("cube", "mul", tape("cubed", "pow", x, _number(3.0)), _number(0.044715))
        inner = tape("scaled", "mul", tape("inner", "add", x, cube), _number(math.sqrt(2 / math.pi)))
        gate = tape("tanh", "tanh", inner)
    else:
        gate = tape("erf", "erf", tape("scaled", "div", x, _number(math.sqrt(2.0))))
    gate = tape("one_more", "add", gate, _number(1.0))
    return tape("gated", "mul", tape("half", "mul", x, _number(0.5)), gate)


def _silu(tape: _Tape, operation: Operation) -> Array:
    x, alpha = operation.data[0], operation.read(Swish).alpha
    scaled = x if alpha == 1.0 else tape("scaled", "mul", x, _number(alpha))
    return tape("gated", "mul", x, tape("sigmoid", "sigmoid", scaled))


def _hardsigmoid(tape: _Tape, operation: Operation) -> Array:
    """max(0, min(1, αx + β)); with α a sixth, the whole numbers that frameworks write instead: relu6(x + 6β) / 6."""
    x, settings = operation.data[0], operation.read(HardSigmoid)
    if abs(settings.alpha - 1 / 6) < 1e-6:
        inner = tape("offset", "add", x, _number(6 * settings.beta))
        return tape("sixth", "div", tape("clipped", "relu6", inner), _number(6.0))
    inner = tape("offset", "add", tape("scaled", "mul", x, _number(settings.alpha)), _number(settings.beta))
    return tape("clipped", "clip", inner, by=Clip(min=0.0, max=1.0))


def _hardswish(tape: _Tape, operation: Operation) -> Array:
    x = operation.data[0]
    return tape("gated", "mul", x, tape("hardsigmoid", "hardsigmoid", x, by=operation.read(HardSigmoid)))


def _mish(tape: _Tape, operation: Operation) -> Array:
    soft = tape("softplus", "softplus", operation.data[0], by=Softplus())
    return tape("gated", "mul", operation.data[0], tape("tanh", "tanh", soft))


def _squared_difference(tape: _Tape, operation: Operation) -> Array:
    return tape("square", "square", tape("difference", "sub", *operation.data))


def _number(value: float) -> Array:
    return np.asarray(value, np.float64)


_RULES: dict[str, Rule] = {
    "matmul": _matmul,
    "conv": _convolution,
    "conv_transpose": _convolution,
    "max_pool": _pool,
    "norm": _norm,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
    "gelu": _gelu,
    "silu": _silu,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "mish": _mish,
    "squared_difference": _squared_difference,
}
