"""Noise is measured in units of the dtype that a node is fed with: finer ones are rounded off before they move it."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

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


def _shares(path, bias, kind):
    """Scores of three, their softmax, and what it weighs."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, dtype = np.random.default_rng(3), np.float32 if kind == TensorProto.FLOAT else np.float16
    stored = {"w": rng.standard_normal((16, 6)) / 4, "b": bias, "seen": rng.standard_normal((16, 4, 3))}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        helper.make_node("MatMul", ["h", "w"], ["plain"]),
        helper.make_node("Add", ["plain", "b"], ["scores"], "biased"),
        helper.make_node("Reshape", ["scores", "shape"], ["three"]),
        helper.make_node("Softmax", ["three"], ["share"], axis=1),
        helper.make_node("MatMul", ["seen", "share"], ["weighed"]),
        helper.make_node("Cast", ["weighed"], ["y"], to=TensorProto.FLOAT),
    ]
    kept = [numpy_helper.from_array(array.astype(dtype), name) for name, array in stored.items()]
    kept.append(numpy_helper.from_array(np.array([16, 3, 1]), "shape"))
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 8, 16))
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, (16, 4, 1))
    graph = helper.make_graph(nodes, "g", [taken], [given], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_what_a_softmax_takes_for_a_shift_is_not_undone(tmp_path):
    """A bias doubled moves three scores nearly alike; as large a change of any other kind would show more."""
    bias = np.array([0.15, 0.15, 0.11, 0.15, 0.11, 0.15])
    feeds = {"x": np.random.default_rng(1).standard_normal((1, 8, 16)).astype(np.float32)}
    result = aligner.compare(_shares(tmp_path / "a.onnx", bias, 1), _shares(tmp_path / "b.onnx", 2 * bias, 10), feeds)
    assert [pair.candidate.node for pair in result.introduced] == ["biased"]


def _scaled(path, kind, factor, *, moved=False):
    """Two layers with a rectifier between; a factor before it, or behind it where it is moved."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, dtype = np.random.default_rng(5), np.float32 if kind == TensorProto.FLOAT else np.float16
    stored = {"w": rng.standard_normal((32, 32)) / 6, "v": rng.standard_normal((32, 8)) / 6, "f": np.array(factor)}
    scale = [("Mul", ["b", "f"], "scaled")] if factor != 1 else []
    steps = [("Relu", ["a"], "b"), *scale] if moved else [*[(op, ["a", "f"], out) for op, _, out in scale]]
    steps += [] if moved else [("Relu", ["scaled" if scale else "a"], "b")]
    last = "scaled" if moved and scale else "b"
    steps = [("MatMul", ["h", "w"], "a"), *steps, ("MatMul", [last, "v"], "c")]
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        *(helper.make_node(op, read, [made], f"the {made}") for op, read, made in steps),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, (16, 32))
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, (16, 8))
    held = [numpy_helper.from_array(array.astype(dtype), name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", [taken], [given], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_factor_that_stands_in_a_twin_in_half_precision_alone_is_no_rounding(tmp_path):
    feeds = {"x": np.random.default_rng(1).standard_normal((16, 32)).astype(np.float32)}
    plain = _scaled(tmp_path / "plain.onnx", 1, 1)
    result = aligner.compare(plain, _scaled(tmp_path / "scaled.onnx", 10, 1.002), feeds)
    assert result.verdict == "diverged"
    assert (result.causes[0].id, result.causes[0].node) == ("operation-extra", "the scaled")
    assert aligner.compare(plain, _scaled(tmp_path / "half.onnx", 10, 1), feeds).verdict == "aligned"


def test_a_factor_that_half_precision_has_elsewhere_is_another_way_to_compute_the_same(tmp_path):
    feeds = {"x": np.random.default_rng(1).standard_normal((16, 32)).astype(np.float32)}
    before = _scaled(tmp_path / "before.onnx", 1, 1.01)
    behind = _scaled(tmp_path / "behind.onnx", 10, 1.01, moved=True)
    assert aligner.compare(before, behind, feeds).verdict == "aligned"


def test_a_factor_that_stands_in_an_int8_twin_alone_is_no_rounding(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    feeds = {"x": np.random.default_rng(1).standard_normal((16, 32)).astype(np.float32)}

    class Once(quantization.CalibrationDataReader):
        left = 1

        def get_next(self):
            self.left -= 1
            return feeds if self.left == 0 else None

    plain, verdicts = _scaled(tmp_path / "plain.onnx", 1, 1), {}
    for factor in (1, 1.05):
        coded = tmp_path / f"coded{factor}.onnx"
        quantization.quantize_static(
            str(_scaled(tmp_path / f"{factor}.onnx", 1, factor)), str(coded), Once(), per_channel=True
        )
        verdicts[factor] = aligner.compare(plain, coded, feeds).verdict
    assert verdicts == {1: "aligned", 1.05: "diverged"}


@pytest.mark.parametrize(("kind", "factor"), [("float16", 1.004), ("bfloat16", 1.02), ("bfloat16", 1.005)])
def test_a_factor_of_one_branch_of_a_sum_is_told_whichever_side_has_it(kind, factor):
    torch = pytest.importorskip("torch")

    class Branches(torch.nn.Module):
        def __init__(self, by=1.0):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c = (torch.nn.Linear(48, 48) for _ in range(3))
            self.by = by

        def forward(self, x):
            h = torch.relu(self.a(x))
            y = self.b(h)
            return self.c(h + (y * self.by if self.by != 1 else y))

    x, few = np.random.default_rng(0).standard_normal((32, 48)).astype(np.float32), getattr(torch, kind)
    assert aligner.compare(Branches().eval(), Branches().eval().to(few), [x]).verdict == "aligned"
    for numbers, identifier in (((1.0, factor), "operation-extra"), ((factor, 1.0), "operation-missing")):
        reference, candidate = (Branches(number).eval() for number in numbers)
        result = aligner.compare(reference, candidate.to(few), [x])
        assert result.verdict == "diverged"
        told = result.causes[0].id, result.causes[0].evidence_class
        assert factor == 1.005 or told == (identifier, "proven"), result.causes


def _unit_vectors(path, guard, kind):
    """Rows over their lengths, one of them a row of zeros."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    dtype = np.float32 if kind == TensorProto.FLOAT else np.float16
    stored = {"guard": np.array(guard, dtype), "axes": np.array([1])}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("ReduceL2", ["r", "axes"], ["length"]),
        helper.make_node("Add", ["length", "guard"], ["guarded"]),
        helper.make_node("Div", ["r", "guarded"], ["unit"], "divided"),
        helper.make_node("Cast", ["unit"], ["y"], to=TensorProto.FLOAT),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (3, 8)) for name in "xy"]
    arrays = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize(("kept", "verdict"), [(1e-7, "aligned"), (0, "diverged")])
def test_a_guard_below_what_half_precision_holds(tmp_path, kept, verdict):
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    x[1] = -1
    whole, half = _unit_vectors(tmp_path / "a.onnx", 1e-10, 1), _unit_vectors(tmp_path / "b.onnx", kept, 10)
    result = aligner.compare(whole, half, {"x": x})
    assert result.verdict == verdict
    assert [one.node for one in result.causes[:1]] == ([] if kept else ["divided"])


@requires_torch
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("change", ["", "cut off", "of bfloat16", "1.005", "0.995", "1.03"])
def test_weights_in_half_precision_that_are_no_rounding_of_the_reference_s(kind, change):
    """Stored in eight or eleven bits whichever way they go; times a number, as no rounding leaves all of them."""
    import copy

    import torch

    class Narrow(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net.to(getattr(torch, kind))

        def forward(self, x):
            return self.net(x.to(getattr(torch, kind))).float()

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(32, 48), torch.nn.GELU(), torch.nn.Linear(48, 48), torch.nn.Tanh())
    twin = copy.deepcopy(net)
    for weight in twin.parameters() if change in {"cut off", "of bfloat16"} else ():
        bits = 16 if kind == "bfloat16" else 13
        cut = (weight.data.view(torch.int32) >> bits << bits).view(torch.float32)
        weight.data = cut if change == "cut off" else weight.data.bfloat16().float()
    factor = float(change) if change[:1].isdigit() else 1.0
    twin[2].weight.data *= factor
    result = aligner.compare(net.eval(), Narrow(twin).eval(), torch.randn(4, 32))
    assert result.verdict == ("diverged" if factor != 1 else "aligned")
    assert factor == 1 or result.first_divergence.candidate.name == "net.2/linear.0"


@requires_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("undone", [True, False])
def test_a_factor_near_one_is_no_fault_where_the_next_layer_undoes_it(dtype, undone):
    import copy

    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight *= 1.03
        twin[0].bias *= 1.03
        twin[2].weight /= 1.03 if undone else 1.0
    result = aligner.compare(model, twin.to(getattr(torch, dtype)), torch.randn(4, 32))
    assert result.verdict == ("aligned" if undone else "diverged")
    assert undone or result.first_divergence.candidate.name.startswith("0")


@pytest.mark.parametrize(("kind", "bits"), [("bfloat16", 16), ("float16", 13)])
def test_weights_that_one_rounding_explains_are_told_at_once(kind, bits):
    """As the division by each number's unit tells it, which takes ten times as long."""
    from aligner.judgement.borderline import _one_rounding_apart, _spacing
    from aligner.numerics.rounding import UNITS

    drawn = np.random.default_rng(0).standard_normal((32, 40)).astype(np.float32)
    drawn[0], drawn[1], drawn[2] = 0, drawn[1] * 1e-4, drawn[2] * 1e-7
    low = np.uint32((1 << bits) - 1)
    nearest = ((drawn.view(np.uint32) + (low >> 1)) & ~low).view(np.float32)
    cut = (drawn.view(np.uint32) & ~low).view(np.float32)
    broken = nearest.copy()
    for odd in (np.nan, np.inf):
        broken[5, 5] = odd
        assert not _one_rounding_apart(drawn, broken, UNITS[kind])
    for one, near in ((nearest, True), (cut, True), (nearest * np.float32(1.01), False)):
        assert _one_rounding_apart(drawn[3:], one[3:], UNITS[kind]) == near
        steps = _spacing(drawn.astype(np.float64), one.astype(np.float64), UNITS[kind])
        apart = np.abs(np.divide(one - drawn, steps, out=np.zeros(drawn.shape), where=steps > 0)).max()
        assert apart < 1 or not _one_rounding_apart(drawn, one, UNITS[kind])


@requires_torch
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize(("late", "verdict"), [(1.02, "aligned"), (1.05, "diverged")])
def test_a_factor_near_one_may_stand_behind_the_next_layer(kind, late, verdict):
    """Either layer is off by it alone, and both together by nothing."""
    import torch

    class Layers(torch.nn.Module):
        def __init__(self, before, after):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c = (torch.nn.Linear(48, 48, bias=False) for _ in range(3))
            self.factors = before, after

        def forward(self, x):
            before, after = self.factors
            h = torch.relu(self.a(x))
            y = torch.relu(self.b(h if before == 1 else h * before))
            return self.c(y if after == 1 else y * after)

    x, few = np.random.default_rng(0).standard_normal((32, 48)).astype(np.float32), getattr(torch, kind)
    for factors in (((1.02, 1), (1, late)), ((1, late), (1.02, 1))):
        reference, candidate = (Layers(*pair).eval() for pair in factors)
        assert aligner.compare(reference, candidate.to(few), [x]).verdict == verdict
