"""A float model against the quantised form of another spelling of it: few bits and a rewrite at once are no fault."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

import aligner
from tests import onnx_models as make

pytestmark = requires_onnx

RNG = np.random.default_rng(7)
X = RNG.standard_normal((6, 12)).astype(np.float32)
WEIGHTS = {
    "w": (RNG.standard_normal((12, 10)) / 3).astype(np.float32),
    "gamma": RNG.uniform(0.5, 1.5, 10).astype(np.float32),
    "beta": RNG.standard_normal(10).astype(np.float32),
    "head": (RNG.standard_normal((10, 7)) / 3).astype(np.float32),
    "c": np.float32(0.044715),
    "root": np.float32(np.sqrt(2 / np.pi)),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.float32(2),
}


def network(*, spelled, gamma=None):
    """A layer, a normalisation, a GELU as x/2·(1 + tanh u) or as x·sigmoid(2u), another layer."""
    nodes = [
        make.node("MatMul", ["x", "w"], ["m"], "in"),
        make.node("LayerNormalization", ["m", "gamma", "beta"], ["n"], "norm", axis=-1),
        make.node("Mul", ["n", "n"], ["square"], "square"),
        make.node("Mul", ["square", "c"], ["scaled"], "scaled"),
        make.node("Mul", ["scaled", "n"], ["cube"], "cube"),
        make.node("Add", ["n", "cube"], ["sum"], "sum"),
        make.node("Mul", ["sum", "root"], ["u"], "u"),
    ]
    if spelled == "tanh":
        nodes += [
            make.node("Tanh", ["u"], ["t"], "tanh"),
            make.node("Add", ["t", "one"], ["t1"], "shift"),
            make.node("Mul", ["n", "half"], ["h"], "half"),
            make.node("Mul", ["h", "t1"], ["g"], "gelu"),
        ]
    else:
        nodes += [
            make.node("Mul", ["u", "two"], ["u2"], "double"),
            make.node("Sigmoid", ["u2"], ["s"], "gate"),
            make.node("Mul", ["n", "s"], ["g"], "gelu"),
        ]
    nodes.append(make.node("MatMul", ["g", "head"], ["y"], "head"))
    arrays = WEIGHTS | ({"gamma": gamma} if gamma is not None else {})
    used = {name for node in nodes for name in node.input}
    arrays = {name: array for name, array in arrays.items() if name in used}
    return make.model(
        nodes, [make.value("x", 1, [6, 12])], [make.value("y", 1, [6, 7])], make.weights(**arrays), opset=17
    )


def quantised(tmp_path, model, form, feeds=X):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Fed(CalibrationDataReader):
        def __init__(self):
            self.left = iter([{"x": feeds}])

        def get_next(self):
            return next(self.left, None)

    onnx.save(model, tmp_path / "plain.onnx")
    path = tmp_path / f"{form}.onnx"
    quantize_static(
        str(tmp_path / "plain.onnx"),
        str(path),
        Fed(),
        quant_format=QuantFormat[form],
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
    )
    return path


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_quantised_rewrite_is_aligned(tmp_path, form):
    result = aligner.compare(network(spelled="tanh"), quantised(tmp_path, network(spelled="sigmoid"), form), {"x": X})
    assert result.verdict == "aligned", result.reason


def test_a_fault_in_a_quantised_rewrite_is_found(tmp_path):
    wrong = network(spelled="sigmoid", gamma=WEIGHTS["gamma"][::-1].copy())
    result = aligner.compare(network(spelled="tanh"), quantised(tmp_path, wrong, "QDQ"), {"x": X})
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.node == "norm"


SIGNS = np.where(np.arange(16) % 2, 0.24, -0.24).astype(np.float32)


def biased(*, bias, merged):
    """A layer and its bias, as they are or in one product on rows, which a view puts back."""
    rng = np.random.default_rng(11)
    if merged:
        nodes = [
            make.node("Reshape", ["x", "rows"], ["f"], "rows"),
            make.node("Gemm", ["f", "w", "b"], ["m"], "in"),
            make.node("Reshape", ["m", "back"], ["r"], "back"),
            make.node("Mul", ["r", "inverse"], ["d"], "scale"),
        ]
    else:
        nodes = [
            make.node("MatMul", ["x", "w"], ["m"], "in"),
            make.node("Add", ["m", "b"], ["r"], "bias"),
            make.node("Div", ["r", "root"], ["d"], "scale"),
        ]
    nodes += [make.node("Erf", ["d"], ["e"], "erf"), make.node("MatMul", ["e", "head"], ["y"], "head")]
    arrays = {
        "w": (rng.standard_normal((12, 16)) / 2).astype(np.float32),
        "b": bias,
        "head": (rng.standard_normal((16, 7)) / 3).astype(np.float32),
        "root": np.float32(np.sqrt(2)),
        "inverse": np.float32(np.sqrt(0.5)),
        "rows": np.array([-1, 12]),
        "back": np.array([2, 3, 16]),
    }
    used = {name for node in nodes for name in node.input}
    arrays = {name: array for name, array in arrays.items() if name in used}
    shapes = [make.value("x", 1, [2, 3, 12])], [make.value("y", 1, [2, 3, 7])]
    return make.model(nodes, *shapes, make.weights(**arrays), opset=17)


@pytest.mark.parametrize(("bias", "verdict"), [(SIGNS, "aligned"), (-SIGNS, "diverged"), (0 * SIGNS, "diverged")])
def test_the_other_half_of_a_quantised_rewrite_is_found_behind_a_view(tmp_path, bias, verdict):
    feeds = X.reshape(2, 3, 12)
    path = quantised(tmp_path, biased(bias=bias, merged=True), "QDQ", feeds)
    assert aligner.compare(biased(bias=SIGNS, merged=False), path, {"x": feeds}).verdict == verdict
