"""Matrix products: a weight of ``linear`` is [out, in], a second factor [in, out]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import dense, einsum, matmul, product
from aligner.operations.operation import Operation
from aligner.operations.settings import Einsum


def _linear(call: Call) -> Operation:
    kernel, bias = call.need(1), call.operand(2)
    if kernel.ndim != 2:
        raise call.unknown("a weight of another rank")
    return dense(call.need(0), kernel, bias)


def _added(call: Call) -> Operation:
    """beta · bias + alpha · left · right."""
    beta = call.number("beta", default=1.0)
    bias = call.need(0) if beta == 1 else call.need(0) * beta
    scale = call.number("alpha", default=1.0)
    return product(call.need(1), call.need(2), stored=call.is_constant(2), scale=scale, bias=bias)


def _outer(call: Call) -> Operation:
    return Operation("einsum", Einsum(equation="i,j->ij"), (call.need(0), call.need(1)))


WORDS: Vocabulary = {
    "linear": _linear,
    **dict.fromkeys("matmul mm bmm mv dot vdot".split(), matmul),
    "rmatmul": lambda call: product(call.need(1), call.need(0), stored=call.is_constant(0)),
    **dict.fromkeys("addmm addmv baddbmm".split(), _added),
    "outer": _outer,
    "einsum": einsum,
}
