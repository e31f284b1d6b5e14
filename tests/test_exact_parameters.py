"""Biases beside weights in few bits or half precision: written as good as exactly, and told by the numbers."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as make  # noqa: E402

import aligner  # noqa: E402

RNG = np.random.default_rng(3)
KERNEL = (RNG.standard_normal((16, 8, 3, 3)) / 6).astype(np.float32)
BIAS = (0.2 * RNG.standard_normal(16)).astype(np.float32)
X = np.maximum(RNG.standard_normal((1, 8, 16, 16)), 0).astype(np.float32)
STEP = np.float32(np.abs(KERNEL).max() / 127)
CODES = np.rint(KERNEL / STEP).astype(np.int8)


def layer(bias=BIAS, *, codes=False, added=False):
    """A convolution and a ReLU; ``codes``: input and weights in eight bits; ``added``: the bias by its own node."""
    helper = onnx.helper
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
    ends = [make.value("x", 1, X.shape)], [make.value("y", 1, None)]
    return make.model(nodes, *ends, make.weights(**weights), opset=17, ir_version=9)


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


def widened(bias=BIAS[:4] / 5, *, codes=False):
    """A transposed convolution without its last row and column, and a tanh: in eight bits cropped behind it, each
    tensor held in codes of its own; in floats cropped by its pads, the bias by its own node."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    kernel, nodes = KERNEL[:8, :4], []
    weights = {"k": kernel}

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs.split(), [output], output, **attributes))

    def held(name, as_codes, low=-4.0):
        weights.update({f"{name}_s": np.float32((4 - low) / 255), f"{name}_z": np.uint8(round(-low * 255 / (4 - low)))})
        add("QuantizeLinear", f"{name} {name}_s {name}_z", f"{as_codes}_q")
        add("DequantizeLinear", f"{as_codes}_q {name}_s {name}_z", as_codes)

    if codes:
        step = np.float32(np.abs(kernel).max() / 127)
        weights |= {"k": np.rint(kernel / step).astype(np.int8), "k_s": step, "b": bias}
        weights |= {"begin": np.array([0, 0]), "end": np.array([-1, -1]), "axes": np.array([2, 3])}
        held("x", "x_d", low=0.0)
        add("DequantizeLinear", "k k_s", "k_d")
        add("ConvTranspose", "x_d k_d b", "wide", strides=[2, 2])
        held("wide", "wide_d")
        add("Slice", "wide_d begin end axes", "cut")
        held("cut", "sum")
    else:
        weights["b"] = bias.reshape(1, -1, 1, 1)
        add("ConvTranspose", "x k", "wide", strides=[2, 2], pads=[0, 0, 1, 1])
        add("Add", "wide b", "sum")
    add("Tanh", "sum", "y")
    ends = [helper.make_tensor_value_info(n, floats, s) for n, s in (("x", X.shape), ("y", (1, 4, 32, 32)))]
    stored = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
def test_a_bias_lost_before_a_crop_that_one_side_holds_in_codes_of_its_own_is_told(back):
    lost = np.zeros(4, np.float32)
    right = aligner.compare(widened(codes=back), widened(codes=not back), X)
    wrong = aligner.compare(widened(codes=back), widened(lost, codes=not back), X)
    assert (right.verdict, wrong.verdict) == ("aligned", "diverged")
    assert wrong.first_divergence.within.primitive == "bias"


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
