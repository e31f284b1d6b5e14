"""ONNX's operators on the standard's own examples: each replayed from its operation is what onnxruntime computed."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from unittest.mock import patch

import numpy as np
import pytest
from marks import requires_onnx

from aligner.adapters.base import OpenOptions
from aligner.adapters.onnx_adapter.adapter import OnnxAdapter
from aligner.errors import AlignerError
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_onnx

WORDS = """ArgMax AveragePool BatchNormalization Celu Clip Compress Concat Conv ConvTranspose CumSum
DFT DepthToSpace DequantizeLinear Div Einsum Elu Expand GRU Gather GatherElements GatherND Gelu Gemm
GridSample GroupNormalization HardSigmoid Hardmax InstanceNormalization LRN LSTM LayerNormalization
LogSoftmax LpNormalization LpPool MatMulInteger MaxPool MeanVarianceNormalization Mean Mod NonZero
OneHot PRelu Pad QuantizeLinear RMSNormalization RNN Range ReduceLogSumExp ReduceL2 Reshape Resize ReverseSequence
Round ScatterElements ScatterND Selu Shrink Slice Softmax Softplus SpaceToDepth Split Sum Swish
ThresholdedRelu Tile TopK Transpose Trilu Where""".split()

KNOWN_OPAQUE = {
    "ConvTranspose": "output_shape",
    "DequantizeLinear": "e4m3 e5m2 float4 int2",
    "QuantizeLinear": "blocked e4m3 e5m2 int4 float4 int2",
    "Resize": "tf_crop not_larger not_smaller",
}
"""Examples whose form is refused, by a part of their name."""


@lru_cache(maxsize=1)
def examples():
    """The standard's cases, by operator; collecting them again would find none.

    Their models and inputs are used alone: what poolings ought to give, worked out in Python, and the text of the
    cases would take two thirds of the time.
    """
    from onnx.backend.test.case.node import collect_testcases

    found = defaultdict(list)
    with patch("onnx.reference.ops.op_pool_common.pool", _no_pooling), patch(f"{_CASES}.process_snippet"):
        for case in collect_testcases(None):
            if case.model is not None and len(case.model.graph.node) == 1 and "training" not in case.name:
                _make_older(case.model)
                found[case.model.graph.node[0].op_type].append(case)
    return found


_CASES = "onnx.backend.test.case.base"


def _no_pooling(padded, x_shape, kernel, strides, out_shape, *_, **__):
    return np.zeros((*x_shape[:2], *out_shape), padded.dtype)


def _make_older(model):
    """Stamped with versions that onnxruntime knows; what the operators mean is the same."""
    model.ir_version = min(model.ir_version, 10)
    for opset in model.opset_import:
        opset.version = opset.version if opset.version <= 24 else 22


@pytest.mark.parametrize("word", WORDS)
def test_the_standards_examples(word):
    ran = 0
    for case in examples()[word]:
        names = [value.name for value in case.model.graph.input]
        feeds = dict(zip(names, case.data_sets[0][0], strict=False))
        try:
            session = OnnxAdapter().open(case.model, OpenOptions())
            found = replay_session(session, feeds)
        except (AlignerError, AttributeError, TypeError):  # not every example is implemented by onnxruntime
            continue
        ran += 1
        session.close()
        refused = any(part in case.name for part in KNOWN_OPAQUE.get(word, "-").split())
        for one in found:
            assert not one.fault, f"{case.name}: {one.fault}"
            assert refused or not one.opaque or "zero-size" in one.opaque, f"{case.name}: {one.opaque}"
        if ran == 12:
            break
    assert ran, f"no example of {word} ran"


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_matrix_of_few_bits_in_blocks(bits, zeros):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(bits)
    out, inner, block = 5, 70, 32
    blocks = -(-inner // block)
    stored = {
        "packed": rng.integers(0, 256, (out, blocks, block * bits // 8), dtype=np.uint8),
        "scales": rng.random((out, blocks)).astype(np.float32),
    }
    if zeros:
        stored["zeros"] = rng.integers(0, 256, (out, -(-blocks * bits // 8)), dtype=np.uint8)
    node = helper.make_node(
        "MatMulNBits", ["x", *stored], ["y"], domain="com.microsoft", K=inner, N=out, bits=bits, block_size=block
    )
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, inner])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, out]))
    weights = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], weights)
    session = OnnxAdapter().open(helper.make_model(graph, opset_imports=imports, ir_version=9), OpenOptions())
    found = replay_session(session, {"x": rng.standard_normal((3, inner)).astype(np.float32)})
    session.close()
    assert found and not any(one.fault or one.opaque for one in found)
