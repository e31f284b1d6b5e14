"""The fault bench builds, runs and scores; how well the tool does is the bench's own business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def importable():
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def test_cases_are_the_same_for_a_seed():
    from benchmarks.faults.cases import all_cases

    assert all_cases(3) == all_cases(3)
    names = [case.name for case in all_cases(0)]
    assert len(names) == len(set(names))
    clean = [case for case in all_cases(0) if case.group == "clean"]
    assert len(clean) >= len({case.kind for case in all_cases(0) if case.group in {"fault", "module", "input"}})


def test_halves_share_nothing():
    from benchmarks.faults.architectures import ARCHITECTURES, halves

    opened, held = halves(0)
    assert not opened & held
    assert opened | held == set(ARCHITECTURES)


def test_truth_names_the_region_and_its_neighbours(tmp_path):
    from benchmarks.faults.building import build
    from benchmarks.faults.cases import Case

    case = Case("padding-asymmetric.open", "fault", "padding-asymmetric", "open", ("detector",), 0)
    built = build(case, tmp_path / "forms", tmp_path / "case")
    assert built.truth.causes == ("padding-asymmetric",)
    assert built.truth.exact
    assert not set(built.truth.exact) & set(built.truth.near)


def test_a_planted_fault_shows(tmp_path):
    from benchmarks.faults.building import build, changed
    from benchmarks.faults.cases import Case

    case = Case("weights-permuted.open", "fault", "weights-permuted", "open", ("detector",), 0)
    built = build(case, tmp_path / "forms", tmp_path / "case")
    assert changed(built.reference.outputs(built.feeds), built.candidate.outputs(built.feeds))


def test_scores():
    from benchmarks.faults.scoring import Blamed, score
    from benchmarks.faults.truth import Truth

    truth = Truth(blame="node", exact=("a",), near=("b",), scopes=("net.conv:mul",), second=("z",))
    assert score(truth, True, [Blamed(("a",)), Blamed(("z",))]).second
    assert score(truth, True, [Blamed(("q",), "net.conv", "mul")]).exact
    assert not score(truth, True, [Blamed(("q",), "net.conv", "add")]).exact
    beside = score(truth, True, [Blamed(("b",)), Blamed(("a",))])
    assert beside.near
    assert not beside.exact
    assert score(Truth(blame="nobody"), True, []).false_alarm
    assert score(Truth(blame="input", exact=("x",)), True, [], ["input-scale"]).exact
    assert not score(Truth(blame="input", exact=("x",)), True, [Blamed(("conv",))], ["input-scale"]).exact


def test_recipe_pairs_by_order_and_shape():
    from benchmarks.faults.baselines import Tensor, paired
    from benchmarks.faults.scoring import Blamed

    def tensors(*shapes):
        return [Tensor(Blamed((str(i),)), np.zeros(shape)) for i, shape in enumerate(shapes)]

    pairs = paired(tensors((2,), (3,), (4,)), tensors((2,), (9,), (3,), (4,)))
    assert [(a.blamed.names[0], b.blamed.names[0]) for a, b in pairs] == [("0", "0"), ("1", "2"), ("2", "3")]


@pytest.mark.slow
def test_one_command_runs_and_prints_the_table(tmp_path):
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.faults", "run", "--out", str(out)]
    command += ["--only", "output-order.held", "--only", "trap-reused-detector"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert results["format"] == "aligner.fault-bench/1"
    assert {record["status"] for record in results["cases"]} == {"scored"}
    assert "| located exactly |" in done.stdout


def relu_of_conv(path, weight):
    import onnx
    from onnx import helper, numpy_helper

    def value(name, size):
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, size, size])

    nodes = [helper.make_node("Conv", ["x", "w"], ["conv"]), helper.make_node("Relu", ["conv"], ["y"])]
    weights = numpy_helper.from_array(np.full((1, 1, 3, 3), weight, np.float32), "w")
    graph = helper.make_graph(nodes, "g", [value("x", 8)], [value("y", 6)], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def onnx_pair(folder, weight, forms=("onnx", "folded")):
    from benchmarks.faults.built import Built, Target
    from benchmarks.faults.cases import Case
    from benchmarks.faults.truth import Truth

    sides = [
        Target(form, str(relu_of_conv(folder / f"{form}.onnx", w))) for form, w in zip(forms, (1, weight), strict=True)
    ]
    feeds = {"x": np.random.default_rng(0).random((1, 1, 8, 8), dtype=np.float32)}
    return Built(Case("c", "fault", "k", "open", (), 0), "detector", *sides, Truth(blame="node"), feeds)


def test_polygraphy_takes_two_onnx_files_that_share_names(tmp_path):
    from dataclasses import replace

    from benchmarks.faults.built import Target
    from benchmarks.faults.peers import polygraphy

    built = onnx_pair(tmp_path, 2)
    assert polygraphy.takes(built)
    assert not polygraphy.takes(replace(built, reference=Target("eager")))
    assert not polygraphy.takes(replace(built, feeds={"reference.x": built.feeds["x"]}))


def test_polygraphy_blames_the_first_value_of_equal_name(tmp_path):
    pytest.importorskip("polygraphy")
    from benchmarks.faults.peers import polygraphy

    assert [each.names for each in polygraphy.differing(onnx_pair(tmp_path, 2))] == [("conv",), ("y",)]
    assert not polygraphy.differing(onnx_pair(tmp_path, 1))


@pytest.mark.slow
def test_onnx_diagnostic_blames_what_follows_a_changed_weight(tmp_path):
    pytest.importorskip("onnx_diagnostic")
    pytest.importorskip("scipy")
    import onnx
    from onnx import numpy_helper

    from benchmarks.faults.architectures import ARCHITECTURES
    from benchmarks.faults.built import Built, Target
    from benchmarks.faults.cases import Case
    from benchmarks.faults.forms import build_form
    from benchmarks.faults.peers import diagnostic, torch_verifier
    from benchmarks.faults.planting.modules import Variant
    from benchmarks.faults.truth import Truth

    file = build_form("detector", "dynamo", tmp_path, 0)
    model = onnx.load(file)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(each for each in model.graph.initializer if each.name == conv.input[1])
    weight.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(weight), weight.name))
    onnx.save(model, file)
    live, written = Target("eager", variant=Variant("detector", 0)), Target("dynamo", str(file))
    case, feeds = Case("c", "fault", "k", "open", (), 0), ARCHITECTURES["detector"].feeds(1)
    built = Built(case, "detector", live, written, Truth(blame="node"), feeds)
    assert torch_verifier.takes(built)
    assert diagnostic.unaligned(built)[0].names == (conv.output[0],)


def test_page_says_what_each_peer_could_take():
    from benchmarks.faults.peers import CANNOT, PEERS, TOOK, states

    told = [{"peers": {"torch verify_onnx_program": text}} for text in (TOOK, CANNOT, CANNOT, "timeout: no answer")]
    assert (
        states(told, asked=True)["torch verify_onnx_program"]
        .partition(", ")[2]
        .startswith("took 1 of 4 pairs, failed on 1; ")
    )
    assert states(told, asked=False)["torch verify_onnx_program"] == "not run (--peers)"
    assert all(peer.installed() or states([], asked=True)[peer.name] == "not installed" for peer in PEERS)
