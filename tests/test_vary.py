"""A model against itself under the switches of its runtime."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import Shell
from marks import requires_onnx, requires_openvino, requires_torch


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


def norm_like(exponent, path):
    """What a layer norm is written as, of any exponent: onnxruntime's fusion does not look at it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = {
        "w": draw.normal(size=(16, 16)),
        "p": exponent,
        "e": 1e-5,
        "g": np.ones(16),
        "b": np.zeros(16),
        "u": draw.normal(size=(16, 4)),
    }
    steps = "MatMul:x,w:a ReduceMean:a:m Sub:a,m:d Pow:d,p:q ReduceMean:q:v Add:v,e:h Sqrt:h:s Div:d,s:z Mul:z,g:k "
    steps += "Add:k,b:n MatMul:n,u:y"
    nodes = []
    for kind, reads, writes in (step.split(":") for step in steps.split()):
        axes = {"axes": [-1]} if kind == "ReduceMean" else {}
        nodes.append(helper.make_node(kind, reads.split(","), [writes], name=f"/{kind}_{writes}", **axes))
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", k]) for name, k in (("x", 16), ("y", 4))]
    held = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "norm", sides[:1], sides[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


X = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)


@requires_onnx
def test_the_optimiser_that_takes_a_pattern_for_a_norm_is_named_with_its_node(shell, tmp_path):
    norm_like(4.0, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    said = shell("vary", "m.onnx", "--input", "x.npy", "--over", "optimization,threads", "--json", "v.json")
    assert said.code == 1
    assert said.out.startswith("DIVERGED under 3 of 4 settings — the first is optimization basic, at")
    told = json.loads((tmp_path / "v.json").read_text())
    assert told["format"] == "aligner.variations/1" and told["verdict"] == "diverged"
    basic = next(one for one in told["variations"] if one["setting"] == "basic")
    assert basic["steps"] == ["LayerNormFusionL1"]
    assert basic["first_divergence"]["candidate"]["op"] == "LayerNormalization"
    assert basic["causes"][0]["id"] == "fusion-or-kernel" and basic["causes"][0]["evidence_class"] == "proven"
    assert next(one for one in told["variations"] if one["switch"] == "threads")["outcome"] == "same"


@requires_onnx
def test_a_norm_proper_is_the_same_under_every_switch(tmp_path):
    import aligner

    found = aligner.vary(norm_like(2.0, tmp_path / "m.onnx"), {"x": X})
    assert found.verdict == "aligned" and found.exit_code == 0
    assert {one.switch for one in found.variations} >= {"optimization", "threads", "precision", "batch", "runs"}
    assert {one.outcome for one in found.variations} <= {"same", "aligned"}
    assert not any(one.steps for one in found.variations)


@requires_onnx
def test_a_wide_optimised_model_keeps_its_weights_beside_it(tmp_path):
    import onnx

    import aligner

    model = onnx.load(norm_like(4.0, tmp_path / "m.onnx"))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    found = aligner.vary(tmp_path / "e.onnx", {"x": X}, over="optimization")
    assert [one.steps for one in found.variations] == [("LayerNormFusionL1",)] * 3


def _network(middle):
    import torch

    class Middle(torch.nn.Module):
        def forward(self, x):
            return middle(torch, x)

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 8), Middle(), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()


@requires_torch
def test_samples_that_see_each_other_are_named_at_their_node():
    import aligner

    found = aligner.vary(_network(lambda torch, x: x - x.mean(0, keepdim=True)), X[:1], over=["batch", "runs"])
    batch = found.variations[0]
    assert batch.outcome == "diverged" and batch.first_divergence.candidate.op == "mean"
    assert "beside it" in batch.reason
    assert {one.outcome for one in found.variations[1:]} == {"same"}


@requires_torch
def test_a_batch_of_samples_apart_changes_nothing():
    import aligner

    found = aligner.vary(_network(lambda torch, x: torch.tanh(x)), X[:2], over="batch,precision,threads")
    assert found.verdict == "aligned"
    assert {one.setting for one in found.variations} >= {"one sample more", "bfloat16", "float64"}


@requires_torch
def test_what_draws_random_numbers_is_named():
    import aligner

    found = aligner.vary(_network(lambda torch, x: x + torch.randn(x.shape)), X, over="runs")
    again, seed = found.variations
    assert again.outcome == "same"
    assert seed.outcome == "diverged" and seed.first_divergence.candidate.op == "randn"


@requires_onnx
@pytest.mark.parametrize(("seed", "outcome"), [({}, "diverged"), ({"seed": 3.0}, "same")])
def test_what_draws_without_a_seed_is_named_though_a_process_repeats_it(seed, outcome):
    from onnx_models import model, node, value

    import aligner

    nodes = [
        node("Tanh", ["x"], ["t"], "t"),
        node("RandomNormalLike", ["t"], ["r"], "draw", **seed),
        node("Add", ["t", "r"], ["y"], "sum"),
    ]
    found = aligner.vary(model(nodes, [value("x", 1, X.shape)], [value("y", 1, X.shape)]), X, over="runs")
    assert found.variations[1].outcome == outcome
    assert seed or "draw (RandomNormalLike)" in found.variations[1].reason


@requires_torch
def test_the_threads_of_the_process_are_put_back():
    import torch

    import aligner

    before = torch.get_num_threads()
    aligner.vary(_network(lambda torch, x: x), X, over="threads")
    assert torch.get_num_threads() == before


@requires_openvino
def test_the_properties_of_openvino_are_switches():
    import openvino_models

    import aligner

    model, feeds = openvino_models.one_layer(*openvino_models.LAYERS["conv"])
    found = aligner.vary(model, feeds, over="optimization,threads,runs")
    for one in found.variations:  # the quick mode computes in bfloat16 where the processor has it
        chosen = one.switch == "optimization" and one.outcome == "diverged"
        assert one.outcome in ("same", "aligned") or (chosen and one.causes[0].id == "precision-chosen")
    assert {one.switch for one in found.variations} == {"optimization", "threads", "runs"}


def test_the_kernels_of_tflite_are_switches():
    pytest.importorskip("ai_edge_litert")
    from pathlib import Path

    import aligner

    found = aligner.vary(Path(__file__).parent / "data" / "tiny_conv_float.tflite", over="optimization,threads")
    assert found.verdict == "aligned"
    assert [one.setting for one in found.variations][:2] == ["builtin", "delegates"]


@requires_onnx
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["m.onnx", "--over", "optimisation"], "there is no switch optimisation"),
        (["m.onnx", "--over", ","], "there is nothing to vary"),
        (["none.onnx"], "none.onnx"),
        (["m.onnx", "--input", "none.npy"], "none.npy"),
        (["r.npz", "--over", "threads"], "cannot be varied over threads"),
    ],
)
def test_what_cannot_be_varied_is_said(shell, tmp_path, words, told):
    import aligner

    aligner.capture(norm_like(2.0, tmp_path / "m.onnx"), tmp_path / "r.npz", {"x": X})
    shell.refused("vary", *words, says=(told,))


@requires_onnx
def test_a_comparison_takes_the_setting_that_vary_names(shell, tmp_path):
    norm_like(4.0, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    words = ["compare", "m.onnx", "m.onnx", "--input", "x.npy", "--setting", "reference.optimization=none"]
    said = shell(*words, "--setting", "candidate.optimization=basic", "--json", "v.json")
    assert said.code == 1
    assert json.loads((tmp_path / "v.json").read_text())["first_divergence"]["candidate"]["op"] == "LayerNormalization"
    assert shell(*words, "--setting", "candidate.optimization=none").code == 0


@requires_onnx
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("candidate.precision=f32", "m.onnx has no setting precision=f32"),
        ("candidate.threads=none", "optimization=basic"),
        ("other.threads=1", "there is no side 'other'"),
    ],
)
def test_a_setting_that_is_not_there_is_refused(shell, tmp_path, setting, told):
    norm_like(2.0, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    shell.refused("compare", "m.onnx", "m.onnx", "--input", "x.npy", "--setting", setting, says=(told,))
