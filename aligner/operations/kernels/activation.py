"""Activations and other functions of one element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Call, Operation, Unsupported, computes, reads, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    import numpy as np

    return 1 / (1 + np.exp(-x))


def erf(x: Array) -> Array:
    """The error function, to 1e-7 or better (numpy has none)."""
    import numpy as np

    if x.size <= 1 << 18:
        return np.vectorize(math.erf, otypes=[np.float64])(x) if x.size else x
    # Abramowitz and Stegun 7.1.26 is too coarse; interpolating a fine table is not
    grid = np.linspace(-6.0, 6.0, 1 << 17)
    table = np.vectorize(math.erf, otypes=[np.float64])(grid)
    return np.interp(x, grid, table)


def _gelu(x: Array, s: Any) -> Array:
    import numpy as np

    if s["approximate"] == "quick":
        return x * sigmoid(1.702 * x)
    tanh = s["approximate"] == "tanh"
    part: Array = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh else erf(x / math.sqrt(2))
    result: Array = 0.5 * x * (1 + part)
    return result


def _erf(x: Array, s: Any) -> Array:
    """The error function, or the cubic in a tangent by which GELU approximates it."""
    import numpy as np

    if s.get("approximate") != "tanh":
        return erf(x)
    wide_x = x * math.sqrt(2)
    found: Array = np.tanh(math.sqrt(2 / math.pi) * (wide_x + 0.044715 * wide_x**3))
    return found


def _softplus(x: Array, s: Any) -> Array:
    import numpy as np

    soft = np.logaddexp(0.0, s["beta"] * x) / s["beta"]
    return np.where(x * s["beta"] > s["threshold"], x, soft) if s["threshold"] is not None else soft


def _plain() -> dict[str, Callable[[Array], Array]]:
    import numpy as np

    return {
        "relu": lambda x: np.maximum(x, 0),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "isnan": np.isnan,
        "relu6": lambda x: np.clip(x, 0, 6),
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        "exp": np.exp,
        "log": np.log,
        "sqrt": np.sqrt,
        "abs": np.abs,
        "neg": np.negative,
        "reciprocal": lambda x: 1 / x,
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "floor": np.floor,
        "ceil": np.ceil,
        "trunc": np.trunc,
        "round": np.rint,
        "square": np.square,
        "sin": np.sin,
        "cos": np.cos,
        "identity": lambda x: x,
    }


def _tuned() -> dict[str, Callable[[Array, Any], Array]]:
    import numpy as np

    return {
        "clip": lambda x, s: np.clip(x, s["min"], s["max"]),
        "leaky_relu": lambda x, s: np.where(x >= 0, x, x * s["alpha"]),
        "elu": lambda x, s: np.where(x > 0, x, s["alpha"] * np.expm1(np.minimum(x, 0))),
        "gelu": _gelu,
        "erf": _erf,
        "silu": lambda x, s: x * sigmoid(s.get("alpha", 1.0) * x),
        "hardsigmoid": lambda x, s: np.clip(s["alpha"] * x + s["beta"], 0, 1),
        "hardswish": lambda x, s: x * np.clip(s["alpha"] * x + s["beta"], 0, 1),
        "softplus": _softplus,
    }


FUSED: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "relu_n1_to_1": lambda x: x.clip(-1, 1),
    "tanh": lambda x: 2 * sigmoid(2 * x) - 1,
    "none": lambda x: x,
}

ACTIVATIONS = frozenset(
    "relu relu6 clip leaky_relu elu gelu silu sigmoid tanh hardsigmoid hardswish softplus softsign mish".split()
)


@reads(*ACTIVATIONS, "erf", "exp", "log", "sqrt", "abs", "neg", "identity", "dropout", "cast")
def read_activation(call: Call) -> Operation:
    """The function's name is the kind; settings hold its constants."""
    kind, x = call.node.kind, call.need(0)
    if kind == "dropout":
        if call.attributes.get("training") or call.attributes.get("training_mode"):
            raise Unsupported("random")
        return Operation("identity", {}, (x,))
    if kind == "cast":
        return Operation("cast", {"to": str(call.attributes.get("to", call.attributes.get("dtype", "")))}, (x,))
    return Operation(kind, _settings(call, kind), (x,))


def _settings(call: Call, kind: str) -> dict[str, Any]:
    word = call.word
    if kind == "leaky_relu":
        return {"alpha": call.number("alpha", default=0.01)}
    if kind == "elu":
        return {"alpha": call.number("alpha", default=1.0)}
    if kind == "gelu":
        given = call.attributes.get("approximate")
        tanh = given in {"tanh", True} or word in {"fastgelu"}
        return {"approximate": "quick" if "quick" in word else "tanh" if tanh else "none"}
    if kind in {"hardsigmoid", "hardswish"}:
        slope = 0.2 if kind == "hardsigmoid" and word == "hardsigmoid" and "alpha" in call.attributes else 1 / 6
        return {"alpha": call.number("alpha", default=slope), "beta": call.number("beta", default=0.5)}
    if kind == "softplus":
        torch = "beta" in call.attributes or "threshold" in call.attributes
        threshold = call.number("threshold", default=20.0) if torch else None
        return {"beta": call.number("beta", default=1.0), "threshold": threshold}
    if kind == "clip":
        return _limits(call)
    return {}


def _limits(call: Call) -> dict[str, Any]:
    word = call.word
    low, high = call.number("min", default=-math.inf), call.number("max", default=math.inf)
    if word == "hardtanh" or "n1_to_1" in word:
        low, high = call.number("min", default=-1.0), call.number("max", default=1.0)
    elif word == "relu_0_to_1":
        low, high = 0.0, 1.0
    for place, name in ((1, "low"), (2, "high")):
        given = call.operand(place)
        if given is not None and given.size == 1 and len(call.operands) > place:
            low, high = (float(given.reshape(())), high) if name == "low" else (low, float(given.reshape(())))
    return {"min": low, "max": high}


@computes(*ACTIVATIONS, *"erf exp log sqrt abs neg identity reciprocal rsqrt floor ceil".split())
@computes(*"trunc round square sin cos isnan".split())
def activate(operation: Operation) -> Array:
    """The function, element by element."""
    x, plain = wide(operation.data[0]), _plain().get(operation.kind)
    return plain(x) if plain is not None else _tuned()[operation.kind](x, operation.settings)


@reads("unary", "activation")
def read_unary(call: Call) -> Operation:
    """Functions of one element that have no kind of their own."""
    if call.word not in _plain():
        raise Unsupported(call.node.op)
    return Operation(call.word, {}, (call.need(0),))


@computes("cast")
def cast(operation: Operation) -> Array:
    """Only what changes numbers: narrower floats round, integers truncate."""
    import numpy as np

    word = operation.settings["to"].removeprefix("torch.")
    names = {"float": "float32", "half": "float16", "double": "float64", "long": "int64", "int": "int32"}
    x = operation.data[0]
    if word == "bfloat16":
        return to_bfloat16(x)
    try:
        return x.astype(np.dtype(names.get(word, word)))
    except TypeError as exc:
        raise Unsupported(word) from exc


def to_bfloat16(x: Array) -> Array:
    """Rounded to bfloat16's grid, carried in float32."""
    import numpy as np

    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    result: Array = rounded.astype(np.uint32).view(np.float32)
    return result


@reads("prelu")
def read_prelu(call: Call) -> Operation:
    """Slope broadcast along the channels, as PyTorch and ONNX place it."""
    x, slope = call.need(0), call.need(1)
    axis = x.ndim - 1 if call.channels == "last" else min(1, x.ndim - 1)
    return Operation("prelu", {"axis": axis}, (x,), {"slope": slope})


@computes("prelu")
def prelu(operation: Operation) -> Array:
    """x where positive, slope · x elsewhere."""
    import numpy as np

    x, slope, axis = wide(operation.data[0]), operation.parameters["slope"], operation.settings["axis"]
    if slope.size > 1 and (slope.ndim <= 1 or slope.size == x.shape[axis]):
        across = [1] * x.ndim
        across[axis] = slope.size
        slope = slope.reshape(across)
    elif slope.size == 1:
        slope = slope.reshape(())
    return np.where(x >= 0, x, x * slope)
