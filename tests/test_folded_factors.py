"""A factor and a summand for each channel, nodes of their own on one side and folded into the layer on the other."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

import aligner

pytestmark = requires_onnx

RNG = np.random.default_rng(11)
KERNEL = (RNG.standard_normal((16, 8, 3, 3)) / 8).astype(np.float32)
BIAS = RNG.standard_normal(16).astype(np.float32)
SCALE = RNG.uniform(0.2, 3.0, 16).astype(np.float32)
SHIFT = RNG.standard_normal(16).astype(np.float32)
X = RNG.standard_normal((1, 8, 9, 9)).astype(np.float32)
FOLDED = KERNEL * SCALE[:, None, None, None], BIAS * SCALE + SHIFT


def network(kernel=KERNEL, bias=BIAS, affine=True, bits=32, scales=0, computed=False):
    """Conv, then where ``affine`` Mul and Add by channel, then ReLU; ``scales`` moves the eight bits' own scales on.

    With ``computed`` factor and summand are what nodes make of weights, as Keras writes its normalisations.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stored = {"kernel": kernel, "bias": bias, "scale": SCALE.reshape(1, 16, 1, 1), "shift": SHIFT.reshape(1, 16, 1, 1)}
    nodes = []
    if bits == 8:
        steps = np.abs(kernel).reshape(16, -1).max(axis=1) / 127
        del stored["kernel"]
        stored |= {
            "q": np.round(kernel / steps[:, None, None, None]).astype(np.int8),
            "steps": np.roll(steps, scales).astype(np.float32),
            "zeros": np.zeros(16, np.int8),
        }
        nodes.append(helper.make_node("DequantizeLinear", ["q", "steps", "zeros"], ["kernel"], axis=0))
    nodes.append(helper.make_node("Conv", ["x", "kernel", "bias"], ["c" if affine else "y"], name="conv"))
    if computed:
        stored |= {"variance": 1 / stored.pop("scale") ** 2, "loss": -stored.pop("shift")}
        nodes.append(helper.make_node("Neg", ["loss"], ["shift"]))
        nodes += [helper.make_node("Sqrt", ["variance"], ["d"]), helper.make_node("Reciprocal", ["d"], ["scale"])]
    if affine:
        nodes += [helper.make_node("Mul", ["c", "scale"], ["m"]), helper.make_node("Add", ["m", "shift"], ["y"])]
    nodes.append(helper.make_node("Relu", ["y"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 16, 7, 7])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def folded(kernel=FOLDED[0], bias=FOLDED[1], **more):
    return network(kernel, bias, affine=False, **more)


@pytest.mark.parametrize("bits", [32, 8])
def test_a_fold_is_no_fault(bits):
    assert aligner.compare(network(), folded(bits=bits), {"x": X}).verdict == "aligned"


def test_a_factor_that_nodes_make_of_weights_folds_into_eight_bits():
    """Keras against its int8 TFLite file: the weights were taken for thousands of steps off the reference's."""
    assert aligner.compare(network(computed=True), folded(bits=8), {"x": X}).verdict == "aligned"
    result = aligner.compare(network(computed=True), folded(bits=8, scales=1), {"x": X})
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.node == "conv"


def test_scales_of_other_channels_show_through_a_fold():
    result = aligner.compare(network(), folded(bits=8, scales=1), {"x": X})
    assert result.verdict == "diverged"
    assert result.causes[0].id == "quantization-scale"


FAULTS = {
    "weights-permuted": lambda kernel, bias: (kernel[..., ::-1].copy(), bias),
    "weights-bias-missing": lambda kernel, bias: (kernel, np.zeros_like(bias)),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_causes_are_found_through_a_fold_on_either_side(cause):
    wrong = FAULTS[cause]
    unfolded = aligner.compare(folded(), network(*wrong(KERNEL, BIAS)), {"x": X})
    assert unfolded.causes[0].id == cause and unfolded.causes[0].explained > 0.99
    result = aligner.compare(network(), folded(*wrong(*FOLDED)), {"x": X})
    assert result.causes[0].id == cause and result.causes[0].explained > 0.99


ORDER = RNG.permutation(16)
IN_EIGHT_BITS = {
    "weights-permuted": (FOLDED[0][ORDER], FOLDED[1]),
    "weights-bias-missing": (FOLDED[0], np.zeros_like(FOLDED[1])),
}


@pytest.mark.parametrize("cause", IN_EIGHT_BITS)
def test_causes_are_found_in_eight_bits(cause):
    result = aligner.compare(network(), folded(*IN_EIGHT_BITS[cause], bits=8), {"x": X})
    assert result.causes[0].id == cause


def test_a_copy_in_half_precision_is_found_through_a_fold():
    result = aligner.compare(folded(), network(KERNEL.astype(np.float16).astype(np.float32)), {"x": X})
    assert result.causes[0].id == "weights-reduced-precision"
