"""Weights in eight bits: on the grid of their own channel, or of another's."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner

pytestmark = [requires_onnx, requires_torch]


def network(scales: np.ndarray | None, kernel: np.ndarray):
    """x @ kernel; stored in eight bits where there are scales, one for each column."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored = [], {"kernel": kernel}
    if scales is not None:
        best = np.abs(kernel).max(axis=0) / 127
        stored = {
            "quantized": np.round(kernel / best).astype(np.int8),
            "scales": scales.astype(np.float32),
            "zeros": np.zeros(scales.size, np.int8),
        }
        nodes.append(helper.make_node("DequantizeLinear", list(stored), ["kernel"], axis=1))
    nodes.append(helper.make_node("MatMul", ["x", "kernel"], ["y"], name="product"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 16])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("moved", [0, 1])
def test_scales_of_other_channels_are_a_fault_that_eight_bits_do_not_excuse(moved):
    rng = np.random.default_rng(0)
    kernel = (rng.uniform(-1, 1, (64, 16)) * np.tile([1.0, 1.05], 8)).astype(np.float32)
    scales = np.abs(kernel).max(axis=0) / 127
    x = rng.standard_normal((4, 64)).astype(np.float32)
    result = aligner.compare(network(None, kernel), network(np.roll(scales, moved), kernel), {"x": x})
    assert result.verdict == ("diverged" if moved else "aligned")
    if moved:
        assert "quantisation steps" in result.first_divergence.note
        assert result.first_divergence.candidate.name == "y"


def test_rows_in_another_order_are_known_though_each_has_the_scale_of_its_new_place():
    rng = np.random.default_rng(0)
    kernel = (rng.uniform(-1, 1, (64, 16)) * np.linspace(1, 3, 16)).astype(np.float32)
    scales, order = np.abs(kernel).max(axis=0) / 127, np.roll(np.arange(16), 3)
    moved = ((kernel / scales)[:, order] * scales).astype(np.float32)
    x = rng.standard_normal((4, 64)).astype(np.float32)
    first, *_ = aligner.compare(network(None, kernel), network(scales, moved), {"x": x}).causes
    assert (first.id, first.evidence_class) == ("weights-permuted", "proven")
    assert "each with the scale of its new place" in first.evidence


def test_weights_that_the_reference_computes_are_not_taken_for_zeros():
    import torch

    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(64, 16, bias=False)).eval()
    kernel = layer.weight.detach().numpy().T.copy()
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    result = aligner.compare(layer, network(np.abs(kernel).max(axis=0) / 127, kernel), [x])
    assert result.verdict == "aligned"
