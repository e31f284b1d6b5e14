"""Noise is measured in units of the dtype that a node is fed with: finer ones are rounded off before they move it."""

from __future__ import annotations

import numpy as np
from marks import requires_onnx

import aligner

pytestmark = requires_onnx


def _places(path, kind):
    """Soft-argmax: shares times a ramp, summed up to next to nothing."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    dtype = np.float32 if kind == TensorProto.FLOAT else np.float16
    stored = [
        numpy_helper.from_array(np.linspace(-1, 1, 64).astype(dtype), "ramp"),
        numpy_helper.from_array(np.array([2], np.int64), "axes"),
        numpy_helper.from_array((np.eye(64) * 0.125).astype(dtype), "mixing"),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        helper.make_node("MatMul", ["h", "mixing"], ["m"]),
        helper.make_node("Softmax", ["m"], ["share"], axis=2),
        helper.make_node("Mul", ["share", "ramp"], ["moment"]),
        helper.make_node("ReduceSum", ["moment", "axes"], ["place"], keepdims=0),
        helper.make_node("Cast", ["place"], ["y"], to=TensorProto.FLOAT),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 5, 64))
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))
    graph = helper.make_graph(nodes, "g", [taken], [given], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_cancelling_sum_in_half_precision_is_rounding(tmp_path):
    rng = np.random.default_rng(0)
    half = rng.standard_normal((1, 5, 32)).astype(np.float32)
    noise = 0.02 * rng.standard_normal((1, 5, 64)).astype(np.float32)
    feeds = {"x": np.concatenate([half, half[..., ::-1]], 2) + noise}
    result = aligner.compare(_places(tmp_path / "a.onnx", 1), _places(tmp_path / "b.onnx", 10), feeds)
    assert result.verdict == "aligned"
