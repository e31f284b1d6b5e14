"""Quantised layers: real numbers in, and a grid that the result is rounded to."""

from __future__ import annotations

from aligner.adapters.aten_translation import convolution, product
from aligner.operations.call import STORED, Call, Translation, Vocabulary, with_range
from aligner.operations.forms import quantized, simple
from aligner.operations.operation import Operation


def _quantize(call: Call) -> Operation:
    grid, limits = call.quantization(), STORED.get(call.dtype())
    if grid is None or limits is None:
        raise call.unknown("a result on no grid")
    return quantized(call.need(0), grid, grid.axis, limits)


def _on_a_grid(real: Translation, *, relu: bool = False) -> Translation:
    def translate(call: Call) -> Operation:
        operation = with_range(real(call), call)
        return operation.with_settings(fused_activation="relu") if relu else operation

    return translate


_LAYERS = {
    "linear": product.WORDS["linear"],
    **{word: convolution.WORDS[word] for rank in (1, 2, 3) for word in (f"conv{rank}d", f"conv_transpose{rank}d")},
}
QUANTIZED: Vocabulary = {
    **{word: _on_a_grid(real) for word, real in _LAYERS.items()},
    **{f"{word}_relu": _on_a_grid(real, relu=True) for word, real in _LAYERS.items()},
    "linear_dynamic": _LAYERS["linear"],
}
"""Words of the namespace ``quantized``."""
WORDS: Vocabulary = {
    **dict.fromkeys(("quantize_per_tensor", "quantize_per_tensor_dynamic", "quantize_per_channel"), _quantize),
    "dequantize": simple("identity"),
}
