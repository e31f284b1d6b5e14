"""A region in few bits is held against the reference's own numbers, rounded to the same steps."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as make  # noqa: E402

import aligner  # noqa: E402

RNG = np.random.default_rng(5)
KERNEL = (RNG.standard_normal((16, 8, 3, 3)) / 6).astype(np.float32)
X = RNG.standard_normal((1, 8, 16, 16)).astype(np.float32)
STEP = np.float32(np.abs(KERNEL).max() / 127)
NEAREST = np.rint(KERNEL / STEP).astype(np.int8)
LEARNT = np.clip(np.floor(KERNEL / STEP + RNG.random(KERNEL.shape)), -127, 127).astype(np.int8)
"""Up or down by chance, as rounding by feedback or by training goes: off by 0.4 of a step, not by 0.29."""


def layer(codes=None, *, scale=1.0, zero=0, low=0, wide=1.0):
    """Convolution and ReLU; with ``codes`` the result is quantised from ``low`` steps below zero on, ``wide`` times as
    wide as need be, and read back with a scale ``scale`` times as large and a zero point ``zero`` further on."""
    helper = onnx.helper
    weights, nodes = {"k": KERNEL if codes is None else codes}, []
    if codes is not None:
        weights |= {"k_s": STEP, "s": np.float32(7 / 255 * wide), "z": np.uint8(low)}
        weights |= {"r_s": np.float32(7 / 255 * wide * scale), "r_z": np.uint8(low + zero)}
        nodes.append(helper.make_node("DequantizeLinear", ["k", "k_s"], ["k_d"], "k/d"))
    nodes.append(helper.make_node("Conv", ["x", "k" if codes is None else "k_d"], ["c"], "conv"))
    if codes is None or not low:
        nodes.append(helper.make_node("Relu", ["c"], ["r"], "relu"))
    if codes is not None:
        nodes.append(helper.make_node("QuantizeLinear", ["c" if low else "r", "s", "z"], ["q"], "q"))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "r_s", "r_z"], ["d"], "d"))
    nodes.append(helper.make_node("MaxPool", ["r" if codes is None else "d"], ["y"], "pool", kernel_shape=[2, 2]))
    ends = [make.value("x", 1, X.shape)], [make.value("y", 1, None)]
    return make.model(nodes, *ends, make.weights(**weights), opset=17, ir_version=9)


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
@pytest.mark.parametrize("codes", [NEAREST, LEARNT], ids=["to the nearest", "learnt"])
def test_rounding_is_no_fault(codes, back):
    sides = (layer(codes), layer()) if back else (layer(), layer(codes))
    assert aligner.compare(*sides, X).verdict == "aligned"


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"scale": 1.05}, "quantization-scale"),
        ({"zero": 4}, "quantization-zero-point"),
        ({"low": 8}, "operation-changed"),
    ],
    ids=["read by another scale", "read by another zero point", "a range that begins below a rectifier's"],
)
def test_what_does_more_than_round_is_told_though_few_bits_would_hide_it(fault, cause, back):
    sides = (layer(NEAREST, **fault), layer()) if back else (layer(), layer(NEAREST, **fault))
    result = aligner.compare(*sides, X)
    assert result.verdict == "diverged"
    assert result.first_divergence.verdict_rule == "inner-node-errs"
    assert cause in [found.id for found in result.causes]


def two_layers(factor=None):
    """Two convolutions; with a factor, in weights of eight bits of which the first has it and the second undoes it."""
    helper = onnx.helper
    second = (np.random.default_rng(6).standard_normal((8, 16, 3, 3)) / 8).astype(np.float32)
    weights, nodes = {}, []
    for name, kernel, by in (("a", KERNEL, factor or 1.0), ("b", second, 1 / (factor or 1.0))):
        kernel = (kernel * by).astype(np.float32)
        step = np.float32(np.abs(kernel).max() / 127)
        if factor is None:
            weights[name] = kernel
        else:
            weights |= {name: np.rint(kernel / step).astype(np.int8), f"{name}_s": step}
            nodes.append(helper.make_node("DequantizeLinear", [name, f"{name}_s"], [f"{name}_d"], f"{name}/d"))
    read = ["a", "b"] if factor is None else ["a_d", "b_d"]
    nodes.append(helper.make_node("Conv", ["x", read[0]], ["c"], "first"))
    nodes.append(helper.make_node("Relu", ["c"], ["r"], "relu"))
    nodes.append(helper.make_node("Conv", ["r", read[1]], ["y"], "second"))
    ends = [make.value("x", 1, X.shape)], [make.value("y", 1, None)]
    return make.model(nodes, *ends, make.weights(**weights), opset=17, ir_version=9)


@pytest.mark.parametrize("factor", [1.03, 3.0])
@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
def test_a_factor_that_the_next_layer_undoes_is_no_fault(factor, back):
    sides = (two_layers(factor), two_layers()) if back else (two_layers(), two_layers(factor))
    assert aligner.compare(*sides, X).verdict == "aligned"


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
@pytest.mark.parametrize(("wide", "rule"), [(4, "rounding-grows"), (16, "ranges-unfilled"), (32, "ranges-unfilled")])
def test_a_range_hardly_filled_that_costs_more_than_all_else_is_not_passed_over(wide, rule, back):
    sides = (layer(NEAREST, wide=wide), layer()) if back else (layer(), layer(NEAREST, wide=wide))
    assert aligner.compare(*sides, X).comparison.rule == rule
