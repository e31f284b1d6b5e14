"""Operators on stored integers whose scales are operands: the float operators, on the numbers that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from aligner.adapters.onnx_adapter.translation import (
    activation,
    arithmetic,
    convolution,
    moving,
    normalisation,
    product,
)
from aligner.operations.call import Call, Vocabulary, with_range
from aligner.operations.operation import Operation
from aligner.records.dataclass import dataclass

T = TypeVar("T")
_FLOAT: Vocabulary = {
    **activation.WORDS,
    **arithmetic.WORDS,
    **convolution.WORDS,
    **moving.WORDS,
    **normalisation.WORDS,
    **product.WORDS,
}
_SINCE_ONE_AXIS = 13
"""The version from which a softmax takes one axis, and not all that follow."""


@dataclass(frozen=True, slots=True)
class _OnCodes:
    """The float operator of a name, on the operands of these places, its result within the ends of its range.

    ``bias``: the place of integers that count products of both scales, and have no zero point.
    """

    name: str
    places: tuple[int, ...]
    bias: int | None = None

    def __call__(self, call: Call) -> Operation:
        """Raises Unsupported where a scale is computed, or channels come last."""
        meant = [getattr(call.inputs[place], "quantization", None) for place in self.places]
        if None in meant or (call.quantization() is None and call.dtype() != "float32"):
            raise call.unknown("a scale that is computed")
        if call.flag("channels_last") or call.integer("opset", default=_SINCE_ONE_AXIS) < _SINCE_ONE_AXIS:
            raise call.unknown("another order of axes")
        counted = None if self.bias is None else call.operand(self.bias)
        chosen = _chosen(call, self.places)
        if counted is not None:
            real = counted * (call.need(1) * call.need(4)).reshape(-1)
            chosen = replace(chosen, operands=[*chosen.operands, real], constant=[*chosen.constant, True])
        return with_range(_FLOAT[self.name](replace(chosen, node=replace(call.node, op=self.name))), call)


def _chosen(call: Call, places: Sequence[int]) -> Call:
    def of(every: Sequence[T]) -> list[T]:
        return [every[place] for place in places]

    return replace(call, operands=of(call.operands), constant=of(call.constant), inputs=of(call.inputs))


def _concat(call: Call) -> Operation:
    return _OnCodes("Concat", tuple(range(2, len(call.operands), 3)))(call)


_ONE, _TWO = (0,), (0, 3)
WORDS: Vocabulary = {
    "QLinearConv": _OnCodes("Conv", _TWO, bias=8),
    "QLinearMatMul": _OnCodes("MatMul", _TWO),
    "com.microsoft::QGemm": _OnCodes("Gemm", _TWO, bias=6),
    **{f"com.microsoft::QLinear{name}": _OnCodes(name, _TWO) for name in ("Add", "Mul")},
    **{
        f"com.microsoft::QLinear{name}": _OnCodes(name, _ONE)
        for name in ("Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax")
    },
    "com.microsoft::QLinearConcat": _concat,
}
