"""Functions of one element, and operations of two tensors."""

from __future__ import annotations

import math
from typing import Any

from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.onnx_adapter.translation import activation, arithmetic
from aligner.adapters.rewriting import Step
from aligner.operations.fused import fused_kind, fused_settings
from aligner.operations.operation import Unsupported

# what stands in every version of the standard; of the rest some are composed below
_FUNCTIONS = {kind: word for word, kind in activation.NAMED.items() if kind not in {"mish", "bitwise_not", "rsqrt"}}
_BINARY = {
    **{kind: word for word, kind in arithmetic.BINARY.items() if not kind.startswith("bitwise_") and "::" not in word},
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
}
_COMPARED = {form: word for word, form in arithmetic.COMPARED.items()}


def _function(w: Writer, step: Step) -> str:
    if step.operation.settings.get("approximate") == "tanh":
        raise Unsupported("an approximated error function")
    return w(_FUNCTIONS[step.operation.kind], w.operand(step.data[0]))


def _binary(w: Writer, step: Step) -> str:
    return w(_BINARY[step.operation.kind], *map(w.operand, step.data))


def _compare(w: Writer, step: Step) -> str:
    form = step.operation.settings["form"]
    if form == "not_equal":
        return w("Not", w("Equal", *map(w.operand, step.data)))
    return w(_COMPARED[form], *map(w.operand, step.data))


def _where(w: Writer, step: Step) -> str:
    from onnx import TensorProto

    condition = w.operand(step.data[0])
    if step.operation.data[0].dtype.kind != "b":
        condition = w("Cast", condition, to=TensorProto.BOOL)
    return w("Where", condition, w.operand(step.data[1]), w.operand(step.data[2]))


def clip(w: Writer, x: str, low: float, high: float) -> str:
    """Limits, either of which may be infinite."""
    w.need(11, "Clip with limits as operands")
    limits = [w.number(limit) if math.isfinite(limit) else "" for limit in (low, high)]
    return w("Clip", x, *limits)


def _clip(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    return clip(w, w.operand(step.data[0]), settings["min"], settings["max"])


def fused(w: Writer, x: str, activation: str) -> str:
    """The activation that a node applies itself."""
    kind, told = fused_kind(activation), fused_settings(activation)
    if kind in ("relu6", "clip"):
        return clip(w, x, told.get("min", 0.0), told.get("max", 6.0))
    words = {
        "relu": "Relu",
        "tanh": "Tanh",
        "sigmoid": "Sigmoid",
        "leaky_relu": "LeakyRelu",
        "elu": "Elu",
        "hardsigmoid": "HardSigmoid",
    }
    return x if kind == "none" else w(words[kind], x, **told)


def _gelu(w: Writer, step: Step) -> str:
    w.need(20, "Gelu")
    form = step.operation.settings["approximate"]
    if form == "quick":
        raise Unsupported(form)
    return w("Gelu", w.operand(step.data[0]), approximate=form)


def _softplus(w: Writer, step: Step) -> str:
    x, beta = w.operand(step.data[0]), step.operation.settings["beta"]
    return w("Softplus", x) if beta == 1 else w("Div", w("Softplus", w("Mul", x, w.number(beta))), w.number(beta))


def _hardswish(w: Writer, step: Step) -> str:
    w.need(14, "HardSwish")
    settings = step.operation.settings
    if not math.isclose(settings["alpha"], 1 / 6, rel_tol=1e-6) or settings["beta"] != 0.5:
        raise Unsupported("a slope of its own")
    return w("HardSwish", w.operand(step.data[0]))


def _tuned(op: str, since: int = 1, **names: str) -> Emitter:
    def emit(w: Writer, step: Step) -> str:
        w.need(since, op)
        settings = step.operation.settings
        return w(op, w.operand(step.data[0]), **{word: settings[name] for word, name in names.items()})

    return emit


def _composed(build: Any) -> Emitter:
    return lambda w, step: build(w, w.operand(step.data[0]))


def _cast(w: Writer, step: Step) -> str:
    from aligner.adapters.onnx_adapter.dtypes import element_of

    word = str(step.operation.settings["to"]).removeprefix("torch.")
    names = {"float": "float32", "half": "float16", "double": "float64", "long": "int64", "int": "int32"}
    element = element_of(names.get(word, word))
    if element is None:
        raise Unsupported(word)
    return w("Cast", w.operand(step.data[0]), to=element)


def _prelu(w: Writer, step: Step) -> str:
    x, slope = step.operation.data[0], step.parameters["slope"]
    if isinstance(slope, str):
        return w("PRelu", w.operand(step.data[0]), slope)
    if slope.size > 1 and slope.ndim <= 1:
        slope = slope.reshape([slope.size, *(1,) * (x.ndim - 1 - step.operation.settings["axis"])])
    return w("PRelu", w.operand(step.data[0]), w.constant(slope if slope.size > 1 else slope.reshape(1)))


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(_FUNCTIONS, _function),
    "isinf": _composed(lambda w, x: w("IsInf", x)),
    **dict.fromkeys(_BINARY, _binary),
    "compare": _compare,
    "where": _where,
    "clip": _clip,
    "relu6": _composed(lambda w, x: clip(w, x, 0.0, 6.0)),
    "gelu": _gelu,
    "mish": _tuned("Mish", since=18),
    "softplus": _softplus,
    "hardswish": _hardswish,
    "hardsigmoid": _tuned("HardSigmoid", alpha="alpha", beta="beta"),
    "leaky_relu": _tuned("LeakyRelu", alpha="alpha"),
    "elu": _tuned("Elu", alpha="alpha"),
    "celu": _tuned("Celu", since=12, alpha="alpha"),
    "selu": _tuned("Selu", alpha="alpha", gamma="scale"),
    "shrink": _tuned("Shrink", lambd="lambd", bias="bias"),
    "square": _composed(lambda w, x: w("Mul", x, x)),
    "rsqrt": _composed(lambda w, x: w("Reciprocal", w("Sqrt", x))),
    "expm1": _composed(lambda w, x: w("Sub", w("Exp", x), w.number(1.0))),
    "exp2": _composed(lambda w, x: w("Pow", w.number(2.0), x)),
    "log1p": _composed(lambda w, x: w("Log", w("Add", x, w.number(1.0)))),
    "log2": _composed(lambda w, x: w("Div", w("Log", x), w.number(math.log(2)))),
    "log10": _composed(lambda w, x: w("Div", w("Log", x), w.number(math.log(10)))),
    "trunc": _composed(lambda w, x: w("Mul", w("Sign", x), w("Floor", w("Abs", x)))),
    "log_sigmoid": _composed(lambda w, x: w("Neg", w("Softplus", w("Neg", x)))),
    "tanhshrink": _composed(lambda w, x: w("Sub", x, w("Tanh", x))),
    "cast": _cast,
    "prelu": _prelu,
}
