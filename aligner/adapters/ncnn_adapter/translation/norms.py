"""Normalisations, softmax, scales, products."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary, norm_parameters
from aligner.operations.layer_forms import dense, norm
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Product, RmsNorm, Softmax


def axis_of(axis: int, rank: int) -> int:
    """Our axis of one of ncnn's."""
    return axis + 1 if axis >= 0 else rank + axis


def _batch(call: Call) -> Operation:
    """Operands input, slope, mean, variance, bias."""
    return norm(call, BatchNorm(epsilon=call.number("p1", default=0.0), axis=1), (1, 4, 2, 3))


def _instance(call: Call) -> Operation:
    return norm(call, InstanceNorm(epsilon=call.number("p1", default=1e-3), axis=1))


def _group(call: Call) -> Operation:
    settings = GroupNorm(epsilon=call.number("p2", default=1e-3), axis=1, groups=call.integer("p0", default=1))
    return norm(call, settings)


def _layer(call: Call) -> Operation:
    """Over the last axes, as many as hold parameter 0's elements."""
    x, size = call.need(0), call.integer("p0")
    axes, held = [x.ndim - 1], x.shape[-1]
    while held < size and len(axes) < x.ndim - 1:
        axes.insert(0, axes[0] - 1)
        held *= x.shape[axes[0]]
    if held != size:
        raise call.unknown("a size that is not that of the last axes")
    shape = tuple(x.shape[axis] for axis in axes)
    epsilon = call.number("p1", default=1e-3)
    parameters = [part.reshape(shape) if part is not None else None for part in map(call.operand, (1, 2))]
    kind = RmsNorm if call.node.op == "RMSNorm" else LayerNorm
    return Operation("norm", kind(epsilon=epsilon, axis=axes[0], axes=tuple(axes)), (x,), norm_parameters(*parameters))


def _softmax(call: Call) -> Operation:
    x = call.need(0)
    axis = axis_of(call.integer("p0", default=0), x.ndim)
    return Operation(call.node.kind, Softmax(axis=axis), (x,))


def _dense(call: Call) -> Operation:
    from aligner.adapters.ncnn_adapter.translation.windows import with_activation

    if call.flag("p8"):
        raise call.unknown("computed in eight bits")
    x = call.need(0)
    kernel = call.need(1)
    if x.shape[-1] != kernel.shape[1]:
        x = x.reshape(x.shape[0], -1)
    return with_activation(call, dense(x, kernel, call.operand(2)))


def _matmul(call: Call) -> Operation:
    left, right = call.need(0), call.need(1)
    right = right.swapaxes(-1, -2) if call.flag("p0") else right
    return Operation("matmul", Product(), (left, right))


def _gemm(call: Call) -> Operation:
    """Only the form of a linear layer: a blob times a stored matrix, plus a stored row."""
    alpha, beta = call.number("p0", default=1.0), call.number("p1", default=1.0)
    said = tuple(call.flag(f"p{number}") for number in (2, 4, 5))
    rest = (call.flag("p11"), call.flag("p14"), call.integer("p18", default=0))
    if said != (False, False, True) or alpha != 1.0 or beta != 1.0 or any(rest):
        raise call.unknown("another form than a linear layer's")
    kernel = call.need(1) if call.flag("p3") else call.need(1).T
    bias = call.operand(2)
    if bias is not None and bias.size != kernel.shape[0]:
        raise call.unknown("a bias of another form")
    return dense(call.need(0), kernel, bias)


WORDS: Vocabulary = {
    "BatchNorm": _batch,
    "InstanceNorm": _instance,
    "GroupNorm": _group,
    "LayerNorm": _layer,
    "RMSNorm": _layer,
    "Softmax": _softmax,
    "InnerProduct": _dense,
    "MatMul": _matmul,
    "Gemm": _gemm,
}
