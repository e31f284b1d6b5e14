"""Biases beside weights in few bits or half precision: written as good as exactly, and told by the numbers."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

RNG = np.random.default_rng(3)
KERNEL = (RNG.standard_normal((16, 8, 3, 3)) / 6).astype(np.float32)
BIAS = (0.2 * RNG.standard_normal(16)).astype(np.float32)
X = np.maximum(RNG.standard_normal((1, 8, 16, 16)), 0).astype(np.float32)
STEP = np.float32(np.abs(KERNEL).max() / 127)
CODES = np.rint(KERNEL / STEP).astype(np.int8)


def layer(bias=BIAS, *, codes=False, added=False):
    """A convolution and a ReLU; ``codes``: input and weights in eight bits; ``added``: the bias by its own node."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weights, nodes = {"k": CODES if codes else KERNEL}, []
    if codes:
        weights |= {"k_s": STEP, "x_s": np.float32(4 / 255), "x_z": np.uint8(0)}
        nodes.append(helper.make_node("QuantizeLinear", ["x", "x_s", "x_z"], ["x_q"], "x/q"))
        nodes.append(helper.make_node("DequantizeLinear", ["x_q", "x_s", "x_z"], ["x_d"], "x/d"))
        nodes.append(helper.make_node("DequantizeLinear", ["k", "k_s"], ["k_d"], "k/d"))
    read = ["x_d", "k_d"] if codes else ["x", "k"]
    if bias is not None and not added:
        weights["b"], read = bias, [*read, "b"]
    nodes.append(helper.make_node("Conv", read, ["p" if added else "c"], "conv"))
    if added:
        weights["b"] = bias.reshape(1, -1, 1, 1)
        nodes.append(helper.make_node("Add", ["p", "b"], ["c"], "add"))
    nodes.append(helper.make_node("Relu", ["c"], ["y"], "relu"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, X.shape)],
        [helper.make_tensor_value_info("y", floats, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def one_lost():
    lost = BIAS.copy()
    lost[np.abs(BIAS).argmax()] = 0
    return lost


@pytest.mark.parametrize("added", [False, True], ids=["in the layer", "added"])
@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
@pytest.mark.parametrize("lost", [one_lost(), BIAS + np.float32(0.05)], ids=["of one channel", "shifted"])
def test_a_bias_that_few_bits_would_hide_is_told(lost, back, added):
    sides = (layer(codes=True), layer(lost, added=added)) if back else (layer(), layer(lost, codes=True, added=added))
    result = aligner.compare(*sides, X)
    assert result.verdict == "diverged"
    assert result.first_divergence.within.node == ("add" if added else "conv")


def test_a_bias_that_a_quantised_reference_alone_has_is_told():
    assert aligner.compare(layer(codes=True), layer(None), X).verdict == "diverged"


def test_a_bias_that_takes_back_what_rounded_weights_add_is_no_fault():
    off = ((CODES * STEP - KERNEL) * X.mean((0, 2, 3)).reshape(1, -1, 1, 1)).sum((1, 2, 3))
    corrected = (BIAS - off).astype(np.float32)
    assert np.abs(off).max() > 0.002
    assert aligner.compare(layer(), layer(corrected, codes=True), X).verdict == "aligned"


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_beside_weights_in_half_precision(shift):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(layer(BIAS + np.float32(shift)), keep_io_types=True)
    assert aligner.compare(layer(), half, X).verdict == ("diverged" if shift else "aligned")


def test_the_epsilon_of_a_norm_that_is_spelled_out_is_no_bias_that_the_other_side_lost():
    """What rounding the factor leaves is as much of the tensor as an epsilon: the numbers do not tell them apart."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    x = RNG.standard_normal((4, 256)).astype(np.float32)
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    shift, factor = (0.1 * RNG.standard_normal(256)).astype(np.float32), np.full(256, 1 + 2**-12, np.float32)

    def model(nodes, weights):
        ends = (helper.make_tensor_value_info(name, floats, x.shape) for name in "xy")
        given, made = ([each] for each in ends)
        held = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()]
        return helper.make_model(
            helper.make_graph(nodes, "g", given, made, held),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=9,
        )

    whole = helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["y"], "norm", axis=-1, epsilon=2**-11)
    steps = [
        ("Cast", "half", "wide"),
        ("ReduceMean", "x", "m"),
        ("Sub", "x m", "c"),
        ("Mul", "c c", "s"),
        ("ReduceMean", "s", "v"),
        ("Add", "v epsilon", "e"),
        ("Sqrt", "e", "d"),
        ("Div", "c d", "n"),
        ("Mul", "n wide", "f"),
        ("Add", "f shift", "y"),
    ]
    more = {"Cast": {"to": floats}, "ReduceMean": {"axes": [-1]}}
    spelled = [helper.make_node(op, read.split(), [made], made, **more.get(op, {})) for op, read, made in steps]
    reference = model([whole], {"scale": factor, "shift": shift})
    half = {"half": factor.astype(np.float16), "shift": shift, "epsilon": np.float32(2**-11)}
    assert aligner.compare(reference, model(spelled, half), x).verdict == "aligned"
