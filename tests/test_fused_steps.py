"""What converters fuse over two layers' border: a constant into a shared bias, an activation into a sum."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

import aligner

pytestmark = requires_onnx

RNG = np.random.default_rng(7)
STORED = {
    "w": (RNG.standard_normal((12, 12)) / 3).astype(np.float32),
    "b": RNG.standard_normal(12).astype(np.float32),
    "v": (RNG.standard_normal((12, 5)) / 3).astype(np.float32),
    "k": (RNG.standard_normal((12, 12)) / 3).astype(np.float32),
    "three": np.float32(3),
    "zero": np.float32(0),
    "six": np.float32(6),
}
STORED |= {"b3": STORED["b"] + 3, "v6": STORED["v"] / 6}
X = (2 * RNG.standard_normal((4, 12))).astype(np.float32)


def network(*nodes, **more):
    """Nodes from x [4, 12] to y [4, 5], as (op, inputs, output)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    used = {name for _, inputs, _ in nodes for name in inputs}
    stored = {name: array for name, array in (STORED | more).items() if name in used}
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], name=output) for op, inputs, output in nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 5])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def test_a_hardswish_whose_summand_is_in_a_second_bias_is_no_fault():
    plain = network(("Gemm", ["x", "w", "b"], "g"), ("HardSwish", ["g"], "h"), ("MatMul", ["h", "v"], "y"))
    spelled = network(
        ("Gemm", ["x", "w", "b"], "first"),
        ("Gemm", ["x", "w", "b3"], "second"),
        ("Clip", ["second", "zero", "six"], "c"),
        ("Mul", ["first", "c"], "m"),
        ("MatMul", ["m", "v6"], "y"),
    )
    result = aligner.compare(plain, spelled, {"x": X})
    assert result.verdict == "aligned"
    assert ("g", "first") in {(pair.reference.name, pair.candidate.name) for pair in result.pairs}


def test_a_sum_that_is_gone_with_its_activation():
    start = ("LeakyRelu", ["x"], "s"), ("MatMul", ["s", "w"], "m")
    sum_ = ("Add", ["m", "s"], "a"), ("Relu", ["a"], "r")
    whole = network(*start, *sum_, ("Gemm", ["r", "k", "b"], "g"), ("Tanh", ["g"], "t"), ("MatMul", ["t", "v"], "y"))
    gone = network(*start, ("Gemm", ["m", "k", "b"], "g"), ("Tanh", ["g"], "t"), ("MatMul", ["t", "v"], "y"))
    result = aligner.compare(whole, gone, {"x": X})
    assert result.verdict == "diverged"
    assert result.causes[0].id == "residual-missing"


@pytest.mark.parametrize("last", ["Tanh", "Sigmoid"])
def test_an_infinity_that_an_activation_swallows(last):
    ones = np.ones((4, 12), np.float32)
    ones[1, 2] = ones[3, 5] = 0
    start, end = ("Gemm", ["x", "w", "b"], "g"), ("MatMul", ["t", "v"], "y")
    plain = network(start, (last, ["g"], "t"), end)
    divided = network(start, ("Div", ["g", "ones"], "d"), (last, ["d"], "t"), end, ones=ones)
    result = aligner.compare(plain, divided, {"x": X})
    assert result.causes[0].id == "nonfinite-introduced"
    assert [(pair.candidate.name, pair.verdict) for pair in result.introduced] == [("d", "nonfinite")]


@pytest.mark.parametrize("sixth", [6, 0])
def test_an_infinity_inside_an_activation_in_pieces_that_its_limits_swallow(sixth):
    sixes = np.full(12, 6, np.float32)
    sixes[2] = sixth
    start, end = ("Gemm", ["x", "w", "b"], "g"), ("MatMul", ["h", "v"], "y")
    pieces = ("Add", ["g", "three"], "a"), ("Div", ["a", "d"], "q"), ("Clip", ["q", "zero", "one"], "c")
    whole = network(start, ("HardSwish", ["g"], "h"), end)
    spelled = network(start, *pieces, ("Mul", ["g", "c"], "h"), end, d=sixes, one=np.float32(1))
    result = aligner.compare(whole, spelled, {"x": X})
    assert result.verdict == ("aligned" if sixth else "diverged")
    assert [(one.id, one.node) for one in result.causes] == ([] if sixth else [("nonfinite-introduced", "q")])
