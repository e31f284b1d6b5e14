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


def test_channels_in_blocks(tmp_path, monkeypatch):
    """Kernels of onnxruntime's NCHWc files: filled up, a channel each, in groups, pooled, joined, moved back."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from aligner.adapters.onnx_adapter import session as sessions
    from aligner.adapters.onnx_adapter.blocked import block_size

    if not block_size():
        pytest.skip("this onnxruntime has no channels in blocks")
    rng = np.random.default_rng(0)
    shapes = {"a": (20, 3, 3, 3), "b": (24, 20, 3, 3), "c": (24, 1, 3, 3), "d": (32, 24, 1, 1), "e": (32, 16, 3, 3)}
    stored = {name: rng.standard_normal(shape).astype(np.float32) / 8 for name, shape in shapes.items()}
    biases = {f"{name}.bias": rng.standard_normal(shape[0]).astype(np.float32) for name, shape in shapes.items()}

    def conv(x, name, y, **said):
        return helper.make_node("Conv", [x, name, f"{name}.bias"], [y], **said)

    pooled = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        conv("x", "a", "h1", pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["h1"], ["h2"], alpha=0.2),
        conv("h2", "b", "h3", strides=[2, 2], dilations=[2, 2]),
        conv("h3", "c", "h4", group=24, pads=[0, 1, 2, 1]),
        helper.make_node("MaxPool", ["h4"], ["h5"], **pooled),
        conv("h5", "d", "h6"),
        helper.make_node("AveragePool", ["h6"], ["h7"], count_include_pad=1, **pooled),
        conv("h7", "e", "h8", group=2),
        helper.make_node("Sigmoid", ["h8"], ["h9"]),
        helper.make_node("Concat", ["h8", "h9"], ["h10"], axis=1),
        helper.make_node("GlobalMaxPool", ["h8"], ["z"]),
        helper.make_node("Transpose", ["h10"], ["y"], perm=[0, 2, 3, 1]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 20, 20])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "z")]
    weights = [numpy_helper.from_array(array, name) for name, array in (stored | biases).items()]
    graph = helper.make_graph(nodes, "g", [x], ends, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "blocked.onnx"), 4
    onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    monkeypatch.setattr(sessions, "encoded_values", lambda _: frozenset())
    session = OnnxAdapter().open(tmp_path / "blocked.onnx", OpenOptions())
    feeds = {"x": rng.standard_normal((2, 3, 20, 20)).astype(np.float32)}
    found = replay_session(session, feeds)
    assert not any(one.fault or one.opaque for one in found), found
    assert {"Conv", "MaxPool", "AveragePool", "ReorderOutput"} <= {one.node.op.split("::")[-1] for one in found}
    inside = next(one.node for one in found if one.node.op.endswith("::Conv") and one.node.inputs[0] != "x")
    shown = {one.value: one.array for one in session.run(feeds)}
    again = session.run(feeds, ["y"], {inside.inputs[0]: shown[inside.inputs[0]]})
    np.testing.assert_array_equal(next(iter(again)).array, shown["y"])
    session.close()


def test_operators_on_stored_integers(tmp_path):
    """All that onnxruntime's quantiser writes, as the float operators on what the integers mean."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    rng = np.random.default_rng(0)
    shapes = {"k": (8, 4, 3, 3), "b": (8,), "w": (8, 5), "v": (5, 5), "c": (5,), "e": (5,)}
    stored = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "k", "b"], ["a"], "conv", pads=[1] * 4),
        make("LeakyRelu", ["a"], ["l"], "leaky", alpha=0.1),
        make("Sigmoid", ["a"], ["s"], "sigmoid"),
        make("Concat", ["l", "s"], ["j"], "concat", axis=2),
        make("AveragePool", ["j"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        make("GlobalAveragePool", ["p"], ["g"], "global"),
        make("Flatten", ["g"], ["f"], "flat"),
        make("Gemm", ["f", "w", "c"], ["h"], "gemm"),
        make("MatMul", ["h", "v"], ["m"], "matmul"),
        make("Add", ["m", "h"], ["r"], "add"),
        make("Mul", ["r", "e"], ["q"], "mul"),
        make("Softmax", ["q"], ["y"], "softmax", axis=-1),
    ]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5]))
    weights = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    feeds = {"x": rng.standard_normal((1, 4, 6, 6)).astype(np.float32)}

    class Reader(CalibrationDataReader):
        left = [feeds] * 2

        def get_next(self):
            return self.left.pop() if self.left else None

    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", Reader(), quant_format=QuantFormat.QOperator, per_channel=True
    )
    words = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert len([word for word in words if word.startswith("QLinear") or word == "QGemm"]) >= 10
    session = OnnxAdapter().open(onnx.load(tmp_path / "int8.onnx"), OpenOptions())
    found = replay_session(session, feeds)
    session.close()
    assert found and not any(one.fault or one.opaque for one in found), found
