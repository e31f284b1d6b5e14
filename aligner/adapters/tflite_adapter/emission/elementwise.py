"""Functions of one element, operations of two tensors, sums along axes."""

from __future__ import annotations

import math

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.adapters.tflite_adapter.emission.writer import Emitter, Writer, plain, result_of
from aligner.adapters.tflite_adapter.translation import activation, arithmetic
from aligner.operations.operation import Unsupported


def _identity(w: Writer, step: Step) -> str:
    return w.operand(step.data[0])


def _clip(w: Writer, step: Step) -> str:
    found, settings = w.operand(step.data[0]), step.operation.settings
    for word, limit in (("MAXIMUM", settings["min"]), ("MINIMUM", settings["max"])):
        if math.isfinite(limit):
            found = w(word, step.operation.data[0], found, w.operand(np.asarray(limit, np.float32)))
    return found


def _compare(w: Writer, step: Step) -> str:
    words = {form: word for word, form in arithmetic.COMPARED.items()}
    return w(words[step.operation.settings["form"]], result_of(step), *map(w.operand, step.data))


def _elu(w: Writer, step: Step) -> str:
    if step.operation.settings["alpha"] != 1:
        raise Unsupported("a slope of its own")
    return w("ELU", result_of(step), w.operand(step.data[0]))


def _gelu(w: Writer, step: Step) -> str:
    form = step.operation.settings["approximate"]
    if form == "quick":
        raise Unsupported(form)
    told = {"approximate": form == "tanh"}
    return w("GELU", result_of(step), w.operand(step.data[0]), options="GeluOptions", told=told)


def _softplus(w: Writer, step: Step) -> str:
    """log(1 + exp x), with no exponential that could overflow: relu(x) + log(1 + exp −|x|)."""
    x, name = step.operation.data[0], w.operand(step.data[0])
    if step.operation.settings["beta"] != 1:
        raise Unsupported("a slope of its own")
    small = w("EXP", x, w("NEG", x, w("ABS", x, name)))
    log = w("LOG", x, w("ADD", x, small, w.operand(np.float32(1).reshape(()))))
    return w("ADD", x, w("RELU", x, name), log)


def _prelu(w: Writer, step: Step) -> str:
    x, slope = step.operation.data[0], step.parameters["slope"]
    if isinstance(slope, str):
        raise Unsupported("a slope that is computed")
    if slope.ndim <= 1:
        slope = slope.reshape([slope.size, *(1,) * (x.ndim - 1 - step.operation.settings["axis"])])
    return w(
        "PRELU", x, w.operand(step.data[0]), w.operand(slope.reshape((1,) * (x.ndim - 1 - slope.ndim) + slope.shape))
    )


def _reduce(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    word = next((word for word, form in arithmetic.REDUCTIONS.items() if form == settings["form"]), None)
    if word is None:
        raise Unsupported(settings["form"])
    operands, told = (w.operand(step.data[0]), w.integers(settings["axes"])), {"keepDims": bool(settings["keep"])}
    return w(word, result_of(step), *operands, options="ReducerOptions", told=told)


def _softmax(w: Writer, step: Step) -> str:
    """Along the last axis, which is all that there is."""
    settings, shown = step.operation.settings, step.operation.data[0]
    order = list(range(shown.ndim))
    order[settings["axis"]], order[-1] = order[-1], order[settings["axis"]]
    name, shown = w.transpose(w.operand(step.data[0]), shown, order)
    if step.operation.kind == "softmax":
        found = w("SOFTMAX", shown, name, options="SoftmaxOptions", told={"beta": float(settings["beta"])})
    else:
        found = w("LOG_SOFTMAX", shown, name, options="LogSoftmaxOptions")
    return w.transpose(found, shown, order)[0]


EMITTERS: dict[str, Emitter] = {
    **{kind: plain(word) for word, kind in activation.NAMED.items() if word not in {"COMPLEX_ABS", "DENSIFY"}},
    **{kind: plain(word) for word, kind in arithmetic.BINARY.items()},
    "identity": _identity,
    "div": plain("DIV"),
    "compare": _compare,
    "where": plain("SELECT_V2"),
    "clip": _clip,
    "leaky_relu": plain("LEAKY_RELU", "LeakyReluOptions", alpha="alpha"),
    "elu": _elu,
    "gelu": _gelu,
    "softplus": _softplus,
    "prelu": _prelu,
    "reduce": _reduce,
    "softmax": _softmax,
    "log_softmax": _softmax,
}
