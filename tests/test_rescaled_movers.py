"""Integers that a node only moves, read with another scale than they were written with."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_tflite
from tflite_models import ModelBuilder

import aligner
from aligner.alignment.compatibility import nearest

X = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 4)).astype(np.float32)


def _moved(scale, pooled=False):
    """Doubled, padded or pooled, and negated, in int8; ``scale``: what the sum is stored with."""
    builder = ModelBuilder()
    schema = builder.schema
    held = builder.tensor("held", X.shape, "int8", quantized=(1 / 127, 0, 0))
    builder.op("QUANTIZE", [builder.input("x", X.shape)], [held], schema.QuantizeOptionsT())
    total = builder.tensor("total", X.shape, "int8", quantized=(scale, 0, 0))
    builder.op("ADD", [held, held], [total], schema.AddOptionsT())
    shape = (1, 4, 4, 4) if pooled else (1, 10, 10, 4)
    moved = builder.tensor("moved", shape, "int8", quantized=(2 / 127, 0, 0))
    if pooled:
        window = schema.Pool2DOptionsT()
        window.strideH = window.strideW = window.filterHeight = window.filterWidth = 2
        window.padding = schema.Padding.VALID
        builder.op("AVERAGE_POOL_2D", [total], [moved], window)
    else:
        pads = builder.constant("pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        builder.op("PAD", [total, pads], [moved], schema.PadOptionsT())
    real = builder.tensor("real", shape)
    builder.op("DEQUANTIZE", [moved], [real], schema.DequantizeOptionsT())
    y = builder.tensor("y", shape)
    builder.op("NEG", [real], [y], schema.NegOptionsT())
    return builder.build(y)


@requires_tflite
@pytest.mark.parametrize("pooled", [False, True])
def test_a_range_too_small_is_named_before_what_only_moves_or_pools_what_it_cut_off(pooled, tmp_path):
    for name, scale in (("good", 2 / 127), ("bad", 0.5 / 127)):
        (tmp_path / f"{name}.tflite").write_bytes(_moved(scale, pooled))
    x = X**3 if pooled else X  # so that less than half is cut off
    result = aligner.compare(tmp_path / "good.tflite", tmp_path / "bad.tflite", [x])
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name == "total"
    assert pooled or any("plain kernels" in note for note in result.comparison.candidate.notes)


def test_operands_in_any_order_answer_the_nearest_if_nothing_else_comes_as_near():
    assert nearest([[0.09, 0.6], [2.0, 0.08]]) == [(0, 0), (1, 1)]
    assert nearest([[0.6, 0.09], [0.08, 2.0]]) == [(0, 1), (1, 0)]
    assert nearest([[0.09, 0.6], [0.07, 0.08]]) == []
    assert nearest([[0.4, 0.25], [0.22, 0.45]]) == []  # as unrelated tensors often are
    assert nearest([[1.5, 3.0], [4.0, 1.2]]) == []
    assert nearest([[None, 0.1], [0.1, 0.2]]) == []
