"""Faults in attention scores, beside numbers that stand for "masked"."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

torch = pytest.importorskip("torch")

from aligner import compare  # noqa: E402
from aligner.diff.difference import difference  # noqa: E402
from aligner.records.difference import Unmasked  # noqa: E402

SIZE = 12


class Scores(torch.nn.Module):
    """Attention over one head; what is added to the scores is a mask and, below it, a bias by distance."""

    def __init__(self, scale: float = 0.35, masked: float = -1e9, slope: float = 0.0, share=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(8, 8, generator=generator))
        above = torch.zeros(SIZE, SIZE).masked_fill(torch.ones(SIZE, SIZE).triu(1) > 0, masked)
        self.register_buffer("mask", above + slope * torch.arange(SIZE).repeat(SIZE, 1).tril())
        self.scale, self.share = scale, share or torch.nn.Softmax(-1)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = (x @ self.weight) @ x.transpose(-1, -2)
        return self.share(scores * self.scale + self.mask) @ x


def tokens() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, SIZE, 8)).astype(np.float32)


@pytest.mark.parametrize("masked", [-1e4, -1e9, float(torch.finfo(torch.float32).min)])
def test_a_lost_scale_before_a_mask(masked):
    found = compare(Scores(masked=masked), Scores(scale=1.0, masked=masked), tokens())
    assert found.first_divergence.candidate.kind == "mul"
    assert found.causes[0].id in {"attention-scale", "constant-changed"}
    assert "precision-overflow" not in [cause.id for cause in found.causes]


@pytest.mark.parametrize("masked", [-1e4, -1e9])
def test_a_wrong_bias_beside_a_mask(masked):
    found = compare(Scores(masked=masked, slope=0.01), Scores(masked=masked, slope=0.02), tokens())
    assert found.verdict == "diverged" and found.first_divergence.candidate.kind == "add"


class Coded(torch.nn.Module):
    """Softmax of scores that went through eight bits, of a range that the mask sets."""

    def __init__(self, step: float):
        super().__init__()
        self.step = step

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.fake_quantize_per_tensor_affine(scores, self.step, 0, -128, 127), -1)


def test_scores_that_a_mask_takes_all_codes_from():
    found = compare(Scores(masked=-1e9), Scores(masked=-1e9, share=Coded(1e9 / 40)), tokens())
    assert found.verdict == "diverged" and "quantize" in found.first_divergence.candidate.op


@pytest.mark.parametrize("masked", [-1e4, -1e9])
def test_a_mask_alone_is_no_fault(masked):
    assert compare(Scores(masked=masked), Scores(masked=masked), tokens()).verdict == "aligned"


def test_the_error_beside_a_mask_is_measured_where_there_is_one():
    scores = np.array([0.5, -1e9, 2.0], np.float32)
    assert difference(scores, scores + np.array([0.25, 64, 0], np.float32)).unmasked == Unmasked(0.25, 2.0)
    assert difference(scores[::2], scores[::2]).unmasked is None
    large = np.array([-9e3, 4e3, 1.0], np.float32)
    assert difference(large, large).unmasked is None


@pytest.mark.parametrize("masked", [-np.inf, float(torch.finfo(torch.float32).min), -1e9])
def test_another_number_for_masked_is_no_fault(masked):
    for pair in [(masked, -1e4), (-1e4, masked)]:
        found = compare(*(Scores(masked=number) for number in pair), tokens())
        assert found.verdict == "aligned"
        assert any("masked by another number" in (each.note or "") for each in found.pairs)


def test_another_number_for_masked_is_no_fault_before_a_node_that_is_one():
    found = compare(Scores(), Scores(masked=float(torch.finfo(torch.float32).min), share=torch.nn.Sigmoid()), tokens())
    assert found.first_divergence.candidate.kind == "sigmoid"


def test_a_lost_mask_is_a_fault():
    found = compare(Scores(masked=-1e9), Scores(masked=-1.0), tokens())
    assert found.first_divergence.candidate.kind == "add"
    found = compare(Scores(masked=-np.inf), Scores(masked=-1.0), tokens())
    assert found.first_divergence.candidate.kind == "add"


def _masked_product(path, coded, number=-1e9):
    """Scores, a mask, softmax and a product; ``coded``: every tensor but the mask's in a range of its own in int8."""
    from onnx_models import model, node, value, weights

    rng = np.random.default_rng(0)
    kernels = {name: rng.standard_normal(shape).astype("f4") for name, shape in {"w": (8, 6), "v": (6, 5)}.items()}
    mask = np.where(np.arange(6) < 4, 0, number).astype("f4")
    nodes, stored = [], {"mask": mask, "zero": np.int8(0), "end": np.int8(127), **kernels}

    def held(name, step, zero="zero"):
        if not coded:
            return name
        stored[f"{name}_step"] = np.float32(step)
        read = [f"{name}_step", zero]
        nodes.append(node("QuantizeLinear", [name, *read], [f"{name}_q"], f"{name}_quantize"))
        nodes.append(node("DequantizeLinear", [f"{name}_q", *read], [f"{name}_d"], f"{name}_dequantize"))
        return f"{name}_d"

    nodes.append(node("MatMul", [held("x", 0.02), "w"], ["scores"], "scores"))
    nodes.append(node("Add", [held("scores", 0.07), "mask"], ["masked"], "masked"))
    nodes.append(node("Softmax", [held("masked", -number / 255, "end")], ["shares"], "shares"))
    nodes.append(node("MatMul", [held("shares", 1 / 127), "v"], ["y"], "y"))
    made = model(nodes, [value("x", 1, [3, 8])], [value("y", 1, [3, 5])], weights(**stored))
    path.write_bytes(made.SerializeToString())
    return path


@requires_onnx
@pytest.mark.parametrize("number", [-1e9, float(np.finfo("f4").min)])
def test_a_range_that_a_mask_takes_is_too_wide_for_the_scores_beside_it(tmp_path, number):
    x = 0.7 * np.random.default_rng(1).standard_normal((3, 8)).astype("f4")
    pair = [_masked_product(tmp_path / f"{coded}.onnx", coded, number) for coded in (False, True)]
    found = compare(*pair, [x])
    first = found.first_divergence
    assert (found.verdict, first.candidate.node, first.verdict_rule) == (
        "diverged",
        "masked_quantize",
        "range-too-wide",
    )
    assert (found.causes[0].id, found.causes[0].evidence_class) == ("quantization-calibration", "proven")
    assert "mask" in found.causes[0].evidence


@requires_onnx
def test_an_infinite_scale_excuses_nothing(tmp_path):
    """Calibrated over a mask of minus infinity: nothing can be told of what is coded by such a scale."""
    from onnx import TensorProto, helper, numpy_helper, save

    numbers = {
        "mask": np.triu(np.full((6, 6), -np.inf, np.float32), 1),
        "fine": np.float32(6 / 255),
        "endless": np.float32(np.inf),
        "share": np.float32(1 / 256),
        "half": np.uint8(128),
        "most": np.uint8(255),
        "least": np.uint8(0),
    }
    contrib = {"domain": "com.microsoft"}
    coded = [
        helper.make_node("QuantizeLinear", ["x", "fine", "half"], ["x8"]),
        helper.make_node("QuantizeLinear", ["mask", "endless", "most"], ["mask8"]),
        helper.make_node(
            "QLinearAdd", ["x8", "fine", "half", "mask8", "endless", "most", "endless", "most"], ["a8"], **contrib
        ),
        helper.make_node("QLinearSoftmax", ["a8", "endless", "most", "share", "least"], ["s"], opset=13, **contrib),
        helper.make_node("DequantizeLinear", ["s", "share", "least"], ["y"]),
    ]
    plain = [helper.make_node("Add", ["x", "mask"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])]
    for name, nodes in (("plain", plain), ("coded", coded)):
        read = {each for node in nodes for each in node.input}
        graph = helper.make_graph(
            nodes,
            "scores",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6, 6])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 6, 6])],
            [numpy_helper.from_array(np.asarray(array), key) for key, array in numbers.items() if key in read],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / f"{name}.onnx")
    x = np.random.default_rng(0).standard_normal((2, 6, 6)).astype(np.float32)
    found = compare(tmp_path / "plain.onnx", tmp_path / "coded.onnx", x)
    assert found.verdict == "diverged"
    assert all(pair.bound is None or pair.bound < 1 for pair in found.pairs)
