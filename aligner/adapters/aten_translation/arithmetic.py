"""Operations of two tensors, and comparisons; a number among the arguments counts as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.call import Call, OfKind, Translation, Vocabulary
from aligner.operations.forms import spelled
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import Compare
from aligner.records.array import Array

_SCALARS = ("other", "exponent", "value", "argument_1", "self", "input")


def operands(call: Call) -> tuple[Array, Array]:
    """Two operands in order."""
    data = call.given
    if len(data) == 1:
        attributes = call.attributes
        name = next((n for n in _SCALARS if isinstance(attributes.get(n), (int, float))), None)
        if name is None:
            raise call.unknown("one operand")
        number: Any = attributes[name]
        integer = data[0].dtype.kind in "iu" and isinstance(number, int)
        data.append(np.asarray(number, dtype=data[0].dtype if integer else np.float64))
        if name in {"self", "input"}:
            data.reverse()
    if len(data) != 2:
        raise call.unknown(f"{len(data)} operands")
    return data[0], data[1]


_NAMED = {
    **spelled(
        "mul pow maximum minimum floor_divide remainder fmod atan2 hypot logaddexp copysign xlogy logical_and "
        "logical_or logical_xor bitwise_and bitwise_or bitwise_xor"
    ),
    "multiply": "mul",
    "float_power": "pow",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "arctan2": "atan2",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "shift_left",
    "bitwise_left_shift": "shift_left",
    "rshift": "shift_right",
    "bitwise_right_shift": "shift_right",
}


def _named(kind: str, *, turned: bool = False) -> Translation:
    def translate(call: Call) -> Operation:
        left, right = operands(call)
        return Operation(kind, {}, (right, left) if turned else (left, right))

    return OfKind(kind, translate)


def _sum(kind: str, *, turned: bool = False) -> Any:
    """self ± alpha · other, or the other way round."""

    def translate(call: Call) -> Operation:
        left, right = reversed(operands(call)) if turned else operands(call)
        alpha = call.number("alpha", default=1.0)
        if alpha != 1:
            right = right * (int(alpha) if alpha == int(alpha) and right.dtype.kind in "iu" else alpha)
        return Operation(kind, {}, (left, right))

    return OfKind(kind, translate)


def _div(*, turned: bool = False) -> Any:
    def translate(call: Call) -> Operation:
        kind = {"floor": "floor_divide", "trunc": "trunc_divide"}.get(call.text("rounding_mode", ""), "div")
        return _named(kind, turned=turned)(call)

    return OfKind("div", translate)


def _joined(inner: str) -> Any:
    """x + value · a ∘ b: operands x, a, b."""

    def translate(call: Call) -> Operation:
        joined = compute(Operation(inner, {}, (call.need(1), call.need(2))))
        return Operation("add", {}, (call.need(0), joined * call.number("value", default=1.0)))

    return translate


def _compare(form: str) -> Any:
    return OfKind("compare", lambda call: Operation("compare", Compare(form=form), operands(call)))


def _lerp(call: Call) -> Operation:
    start, end = call.need(0), call.need(1)
    weight: Any = call.operand(2) if call.operand(2) is not None else call.number("weight", default=0.5)
    return Operation("add", {}, (start, (end - start) * weight))


def _difference(call: Call) -> Operation:
    """diff: each element less the one before it."""
    if call.integer("n", default=1) != 1 or len(call.given) != 1:
        raise call.unknown("differences of differences, or beyond the ends")
    x, axis = call.need(0), call.integer("axis", "dim", default=-1)
    along = [np.take(x, range(k, x.shape[axis] - 1 + k), axis=axis) for k in (1, 0)]
    return Operation("logical_xor" if x.dtype.kind == "b" else "sub", {}, (along[0], along[1]))


_COMPARED = {
    **spelled("greater greater_equal less less_equal not_equal"),
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
}


WORDS: Vocabulary = {
    **{word: _named(kind) for word, kind in _NAMED.items()},
    **{word: _compare(form) for word, form in _COMPARED.items()},
    "add": _sum("add"),
    "sub": _sum("sub"),
    "subtract": _sum("sub"),
    "rsub": _sum("sub", turned=True),
    "radd": _sum("add"),
    "rmul": _named("mul"),
    **dict.fromkeys(("div", "divide", "true_divide", "truediv"), _div()),
    **dict.fromkeys(("rdiv", "rtruediv"), _div(turned=True)),
    "rpow": _named("pow", turned=True),
    "rfloordiv": _named("floor_divide", turned=True),
    "rmod": _named("remainder", turned=True),
    "addcmul": _joined("mul"),
    "addcdiv": _joined("div"),
    "lerp": _lerp,
    "diff": _difference,
}
