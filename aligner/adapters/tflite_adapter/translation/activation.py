"""Activations and other functions of one element; a quantized tensor is the real numbers it stands for."""

from __future__ import annotations

from aligner.operations.call import STORED, Call, Vocabulary
from aligner.operations.forms import cast, gelu, of_one, prelu, quantized, simple, spelled, with_constants
from aligner.operations.operation import Operation
from aligner.operations.settings import Clip, HardSigmoid, Slope

NAMED = {
    **spelled("RELU RELU6 TANH ABS NEG EXP LOG SQRT RSQRT SQUARE FLOOR CEIL ROUND SIN COS SIGN REAL IMAG"),
    "LOGISTIC": "sigmoid",
    "LOGICAL_NOT": "not",
    "COMPLEX_ABS": "abs",
    "DEQUANTIZE": "identity",
    "DENSIFY": "identity",
}


def _prelu(call: Call) -> Operation:
    """As a rule the slope has one number for each channel."""
    return prelu(call.need(0), call.need(1), call.need(0).ndim - 1)


def _quantize(call: Call) -> Operation:
    grid = call.quantization()
    if grid is None or call.dtype() not in STORED or len(grid.scale) != 1:
        raise call.unknown("an unknown grid")
    return quantized(call.need(0), grid, None, STORED[call.dtype()])


WORDS: Vocabulary = {
    **of_one(NAMED),
    "RELU_N1_TO_1": simple("clip", 1, Clip(min=-1.0, max=1.0)),
    "RELU_0_TO_1": simple("clip", 1, Clip(min=0.0, max=1.0)),
    "LEAKY_RELU": with_constants("leaky_relu", alpha=0.0),
    "ELU": simple("elu", 1, Slope(alpha=1.0)),
    "HARD_SWISH": simple("hardswish", 1, HardSigmoid(alpha=1 / 6, beta=0.5)),
    "GELU": lambda call: gelu(call.need(0), tanh=call.flag("approximate")),
    "PRELU": _prelu,
    "CAST": cast,
    "QUANTIZE": _quantize,
}
