"""The noise floor: float64, other seeds, and what they say of a doubtful verdict."""

from __future__ import annotations

import io

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.judgement.ill_conditioned import condition, nearer

pytestmark = requires_torch


def stubborn_network():
    """Casts, dtypes named in the code, constants without a dtype: all that keeps a float64 run from being one."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 4)

        def forward(self, x):
            y = self.norm(self.stem(x)).float() + torch.ones(8, 1, 1) * 0.3
            y = torch.nn.functional.gelu(y).mean((2, 3))
            y = self.head(y).to(torch.float32) * torch.arange(4, dtype=torch.float32)
            return y, torch.zeros(2) + y.sum()

    torch.manual_seed(0)
    return Network().eval()


def chaotic_network(blocks=16):
    """Every block multiplies a difference by about fifty."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(12, 12)

        def forward(self, x):
            return torch.sin(40 * self.mix(x))

    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(blocks))).eval()


def exported(module, x):
    import onnx
    import torch

    file = io.BytesIO()
    torch.onnx.export(module, (torch.from_numpy(x),), file, dynamo=False, input_names=["x"])
    return onnx.load_from_string(file.getvalue())


def numbers(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("form", ["eager", "traced", "scripted", pytest.param("onnx", marks=requires_onnx)])
def test_a_float64_run_is_float64_throughout(form):
    import torch

    module, x = stubborn_network(), numbers(1, 3, 9, 9)
    forms = {
        "eager": lambda: module,
        "traced": lambda: torch.jit.trace(module, torch.from_numpy(x)),
        "scripted": lambda: torch.jit.script(module),
        "onnx": lambda: exported(module, x),
    }
    session = open_model(forms[form](), OpenOptions())
    feeds = {"x": x}
    narrow = {tensor.value: tensor.array for tensor in session.run(feeds)}
    wide = {tensor.value: tensor.array for tensor in session.in_float64().run(feeds)}
    floats = [value for value, array in narrow.items() if array.dtype == np.float32]
    assert narrow.keys() == wide.keys() and len(floats) > 5
    for value in floats:
        assert wide[value].dtype == np.float64
        np.testing.assert_allclose(wide[value], narrow[value], rtol=1e-4, atol=1e-5)
    assert any(np.any(wide[value] != wide[value].astype(np.float32)) for value in session.graph(feeds).outputs)
    assert module.head.weight.dtype == torch.float32


@requires_onnx
def test_an_ill_conditioned_network_is_a_verdict_and_no_fault():
    module, x = chaotic_network(), numbers(4, 12)
    result = aligner.compare(module, exported(module, x), [x])
    assert result.verdict == "aligned"
    assert "ill-conditioned from" in result.comparison.reason and "equally far" in result.comparison.reason
    assert [cause.id for cause in result.causes] == ["ill-conditioned"]
    floor = result.comparison.outputs[0].floor
    assert floor.nearer == "neither" and floor.reference > 0.1
    document = result.to_json()
    pair = document["outputs"][0]
    assert pair["noise"] == pair["floor"]["reference"]


@requires_onnx
def test_unless_it_is_asked_for_a_clear_verdict_costs_nothing_more():
    module, x = stubborn_network(), numbers(1, 3, 9, 9)
    file = exported(module, x)
    quiet, asked = aligner.compare(module, file, [x]), aligner.compare(module, file, [x], noise_floor=True)
    assert quiet.verdict == asked.verdict == "aligned"
    assert all(pair.floor is None for pair in quiet.pairs)
    assert all(pair.floor.reference < 1e-5 for pair in asked.pairs if pair.floor)
    assert sum(pair.floor is not None for pair in asked.pairs) > len(asked.pairs) / 2


@requires_onnx
def test_a_fault_in_an_ill_conditioned_network_is_still_found():
    from onnx import numpy_helper

    module, x = chaotic_network(), numbers(4, 12)
    file = exported(module, x)
    weight = next(
        tensor for tensor in file.graph.initializer if tensor.name == "7.mix.weight" or "onnx::" in tensor.name
    )
    array = numpy_helper.to_array(weight).copy()
    array.flat[5] *= 1.01
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    result = aligner.compare(module, file, [x])
    assert result.verdict == "diverged"
    assert len(result.comparison.introduced) == 1


def test_random_operations_are_named_by_another_seed():
    import torch

    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x * 2 + torch.randn_like(x)

    result = aligner.compare(Noisy(), Noisy(), {"x": numbers(2, 5)}, noise_floor=True)
    named = [note for note in result.comparison.notes if "another seed" in note]
    assert len(named) == 2 and "randn_like" in named[0]


@requires_onnx
def test_a_branch_is_decided_on_what_the_model_declares(tmp_path):
    """Feeds of float64 too: what a decoder's step gave back there is fed again."""
    import onnx

    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, bool[1] use) => (float[2] y) {
        y = If (use) <then_branch = a () => (float[2] p) { p = Add (x, x) },
                      else_branch = b () => (float[2] q) { q = Neg (x) }>
    }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "if.onnx")
    session = open_model(str(tmp_path / "if.onnx"), OpenOptions())
    (found,) = session.in_float64().predict({"x": np.array([1.0, 2.0]), "use": np.array([True])})
    assert found.array.tolist() == [2.0, 4.0]


@requires_onnx
def test_what_cannot_run_in_float64_is_said(tmp_path):
    x = numbers(2, 12)
    aligner.capture(chaotic_network(2), tmp_path / "run.npz", [x])
    result = aligner.compare(tmp_path / "run.npz", chaotic_network(2), [x], noise_floor=True)
    assert any("no float64 to compare with" in note for note in result.comparison.notes)


def test_who_is_nearer():
    assert nearer(1e-6, 3e-6) == "neither"
    assert nearer(1e-6, 1e-3) == "reference"
    assert nearer(1e-3, 1e-6) == "candidate"
    assert condition([], []) is None


@requires_onnx
def test_with_the_references_noise_in_place_the_outputs_are_compared():
    import torch

    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(12, 8), torch.nn.Linear(8, 4)

        def forward(self, x):
            y = self.first(x).relu()
            return self.second(y + 0.3 * torch.randn_like(y))

    torch.manual_seed(0)
    module, x = Noisy().eval(), numbers(6, 12)
    result = aligner.compare(module, exported(module, x), [x])
    assert (result.verdict, result.comparison.rule) == ("aligned", "random-numbers")
    assert result.comparison.outputs[0].accumulated.max_abs > 0.01
    assert "the outputs agree to" in result.comparison.reason
    assert float(result.comparison.reason.rsplit(" ", 1)[1]) < 1e-5
    assert aligner.compare(module, exported(module, x), [x], level="outputs").verdict == "inconclusive"


def dropping(form):
    import torch

    class Dropping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = torch.nn.Linear(12, 8), torch.nn.Linear(8, 4)

        def forward(self, x):
            x = self.first(x)
            if form == "dropout":
                x = torch.dropout(x, 0.3, True)
            if form == "noise":
                x = x + 0.1 * torch.randn_like(x)
            return self.second(x.relu())

    return Dropping().eval()


@requires_onnx
def test_dropout_that_both_sides_apply_is_frozen():
    x = numbers(6, 12)
    result = aligner.compare(dropping("dropout"), exported(dropping("dropout"), x), [x])
    assert (result.verdict, result.comparison.rule) == ("aligned", "random-numbers")


@requires_onnx
def test_noise_of_the_candidate_alone_is_named_at_the_node_that_draws_it():
    x = numbers(6, 12)
    first = aligner.compare(dropping("plain"), exported(dropping("noise"), x), [x]).first_divergence
    assert first.verdict_rule == "random-in-candidate"
    assert (first.within.node, first.within.primitive) == ("/RandomNormalLike", "random")


@requires_onnx
def test_noise_of_the_reference_alone_leaves_it_open():
    x = numbers(6, 12)
    assert aligner.compare(dropping("noise"), exported(dropping("plain"), x), [x]).verdict == "inconclusive"


@pytest.mark.parametrize("floor", [True, None])
@pytest.mark.parametrize("seed", [14, 16, 18, 40])
def test_what_changes_from_run_to_run_without_a_random_operation_is_no_culprit(seed, floor):
    import torch

    seeds = np.random.default_rng(seed)

    class Unsteady(torch.nn.Module):
        """Factors of both signs: after the activation nothing of one run is like another."""

        def __init__(self):
            super().__init__()
            self.generator = np.random.default_rng(int(seeds.integers(1 << 30)))

        def forward(self, x):
            return torch.relu(x * 2 + 3 * float(self.generator.uniform(-1, 1)) * x)

        def __deepcopy__(self, memo):
            return Unsteady()

    x = {"x": numbers(2, 5)}
    result = aligner.compare(Unsteady(), Unsteady(), x, noise_floor=floor)
    assert result.verdict == "inconclusive"
    assert result.comparison.reason.startswith("other numbers enter at")


def test_a_reference_that_disagrees_with_itself_is_no_reference():
    import torch
    from torch import nn

    class Restless(nn.Module):
        def __init__(self, share):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.share = nn.Conv2d(3, 4, 3), share

        def forward(self, x):
            x = self.conv(x)
            if self.share:
                x = x + torch.from_numpy(self.share * np.random.default_rng().standard_normal((1, 4, 6, 6))).float()
            return torch.relu(x)

    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    result = aligner.compare(Restless(0.01).eval(), Restless(0.0).eval(), image)
    assert result.verdict == "inconclusive"
    assert any("the reference gives other numbers with another seed" in note for note in result.comparison.notes)
