"""Matrix products: a weight of ``linear`` is [out, in], a second factor [in, out]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Einsum, Product
from aligner.records.array import Array


def _product(
    call: Call, left: Array, right: Array, place: int, *, scale: float = 1.0, bias: Array | None = None
) -> Operation:
    settings = Product(scale=scale, linear=False)
    parameters = {} if bias is None else {"bias": bias}
    if right.ndim == 2 and call.is_constant(place):
        return Operation("matmul", settings, (left,), parameters | {"kernel": right.T})
    return Operation("matmul", settings, (left, right), parameters)


def _linear(call: Call) -> Operation:
    kernel, bias = call.need(1), call.operand(2)
    if kernel.ndim != 2:
        raise call.unknown("a weight of another rank")
    parameters = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return Operation("matmul", Product(scale=1.0, linear=True), (call.need(0),), parameters)


def _matmul(call: Call) -> Operation:
    return _product(call, call.need(0), call.need(1), 1)


def _reflected(call: Call) -> Operation:
    return _product(call, call.need(1), call.need(0), 0)


def _added(call: Call) -> Operation:
    """beta · bias + alpha · left · right."""
    beta = call.number("beta", default=1.0)
    bias = call.need(0) if beta == 1 else call.need(0) * beta
    return _product(call, call.need(1), call.need(2), 2, scale=call.number("alpha", default=1.0), bias=bias)


def _outer(call: Call) -> Operation:
    return Operation("einsum", Einsum(equation="i,j->ij"), (call.need(0), call.need(1)))


def _einsum(call: Call) -> Operation:
    equation = call.attributes.get("equation", call.attributes.get("argument_0"))
    if not isinstance(equation, str):
        raise call.unknown("an unknown equation")
    return Operation("einsum", Einsum(equation=equation.replace(" ", "")), tuple(call.given))


WORDS: Vocabulary = {
    "linear": _linear,
    **dict.fromkeys("matmul mm bmm mv dot vdot".split(), _matmul),
    "rmatmul": _reflected,
    **dict.fromkeys("addmm addmv baddbmm".split(), _added),
    "outer": _outer,
    "einsum": _einsum,
}
