from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import comparison_factory as factory
import numpy as np
import onnx_models as models
import pytest
from command import Shell
from graph_factory import GraphBuilder, conv_net
from json_schema import faults
from marks import requires_onnx, requires_torch
from rich.console import Console

from aligner.alignment.engine import align
from aligner.alignment.mapping import read_mapping, resolve
from aligner.alignment.saved_mapping import mapping_text, spelled
from aligner.records.graph import Value
from aligner.report.json_document import from_document, to_document
from aligner.report.terminal import print_comparison

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "comparison.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


def decomposed(fused, *, broken=False):
    """x → Gemm → gelu → Gemm: as nodes of their own, or as one Gelu; ``broken`` changes the last layer."""
    rng = np.random.default_rng(0)
    arrays = {"first": rng.standard_normal((6, 8)), "bias": rng.standard_normal(8), "last": rng.standard_normal((8, 3))}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays |= {"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
    if broken:
        arrays["last"] = arrays["last"] * np.float32(1.1)
    nodes = [models.node("Gemm", ["x", "first", "bias"], ["h"], "enter")]
    if fused:
        nodes.append(models.node("Gelu", ["h"], ["g"], "gelu"))
    else:
        nodes += [
            models.node("Div", ["h", "root"], ["d"], "gelu_div"),
            models.node("Erf", ["d"], ["e"], "gelu_erf"),
            models.node("Add", ["e", "one"], ["p"], "gelu_add"),
            models.node("Mul", ["h", "p"], ["m"], "gelu_mul"),
            models.node("Mul", ["m", "half"], ["gelu_out"], "gelu_half"),
        ]
    nodes.append(models.node("MatMul", ["g" if fused else "gelu_out", "last"], ["y"], "leave"))
    used = arrays if not fused else {name: arrays[name] for name in ("first", "bias", "last")}
    inputs, outputs = [models.value("x", 1, [2, 6])], [models.value("y", 1, [2, 3])]
    return models.model(nodes, inputs, outputs, models.weights(**used), opset=20, ir_version=9)


@pytest.fixture
def files(tmp_path):
    import onnx

    onnx.save(decomposed(fused=True), tmp_path / "a.onnx")
    onnx.save(decomposed(fused=False), tmp_path / "b.onnx")
    onnx.save(decomposed(fused=False, broken=True), tmp_path / "broken.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32))
    return tmp_path


# the command


@requires_onnx
def test_static_graphs_are_paired_without_running(shell, files, monkeypatch):
    from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

    opened = OnnxAdapter.open

    def watched(self, target, options):
        session = opened(self, target, options)
        monkeypatch.setattr(type(session), "run", None)
        monkeypatch.setattr(type(session), "predict", None)
        return session

    monkeypatch.setattr(OnnxAdapter, "open", watched)
    outcome = shell("match", "a.onnx", "b.onnx")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("4 pairs: 100% of the reference, 100% of the candidate, lowest confidence 0.")
    assert "candidate 4: 4 fused away" in outcome.out
    assert "graphs alone" in outcome.out


@requires_onnx
def test_json_lists_pairs_regions_and_reasons(shell, files):
    _, document = shell.json("match", "a.onnx", "b.onnx")
    assert document["format"] == "aligner.match/1"
    assert document["observed"] is False
    assert document["coverage"]["paired"] == 4
    assert document["reasons"] == {"reference": {}, "candidate": {"fused away": 4}}
    assert document["lowest_confidence"] == min(pair["confidence"] for pair in document["pairs"])
    (gelu,) = [pair for pair in document["pairs"] if pair["reference"]["name"] == "g"]
    assert gelu["candidate"]["name"] == "gelu_out"
    assert gelu["reference_nodes"] == ["gelu"]
    assert gelu["candidate_nodes"] == ["gelu_div", "gelu_erf", "gelu_add", "gelu_mul", "gelu_half"]
    assert {item["name"] for item in document["unpaired"]["candidate"]} == {"d", "e", "p", "m"}


@requires_onnx
def test_with_inputs_both_models_run(shell, files):
    _, document = shell.json("match", "a.onnx", "b.onnx", "--input", "x.npy")
    assert document["observed"] is True
    assert [fed["name"] for fed in document["inputs"]] == ["x"]
    assert document["lowest_confidence"] >= 0.96  # equal values confirm every pair


@requires_onnx
@requires_torch
def test_a_live_module_is_run_to_be_read(shell, tmp_path):
    import torch

    tmp_path.joinpath("net.py").write_text(
        "import torch\ndef build():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.GELU(), torch.nn.Linear(4, 2)).eval()\n"
    )
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.GELU(), torch.nn.Linear(4, 2)).eval()
    torch.onnx.export(net, (torch.rand(2, 6),), str(tmp_path / "net.onnx"), dynamo=False)
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32))
    _, document = shell.json("match", "net.py:build", "net.onnx", "--input", "x.npy")
    assert document["coverage"] == {
        "reference": 1.0,
        "candidate": 1.0,
        "paired": 4,
        "unpaired": 0,
        "computing_reference": 1.0,
        "computing_candidate": 1.0,
        "virtual_reference": 0.0,
        "virtual_candidate": 0.0,
    }


@requires_onnx
@pytest.mark.parametrize("method", ["name", "order", "weights", "structure"])
def test_align_by_asks_for_one_rule(shell, files, method):
    _, document = shell.json("match", "b.onnx", "broken.onnx", "--align-by", method)
    assert len(document["pairs"]) >= 2


@requires_onnx
@pytest.mark.parametrize("command", ["match", "compare"])
def test_a_saved_map_gives_the_same_pairs_again(shell, files, command):
    given = ("--input", "x.npy") if command == "compare" else ()
    first = shell(command, "a.onnx", "b.onnx", *given, "--save-map", "pairs.csv")
    assert first.code == 0, first.err
    rows = list(csv.reader(io.StringIO((files / "pairs.csv").read_text())))
    assert rows[0] == ["reference", "candidate"]
    assert ["g", "gelu_out"] in rows
    _, document = shell.json(command, "a.onnx", "b.onnx", *given, "--map", "pairs.csv")
    again = [[pair["reference"]["name"], pair["candidate"]["name"]] for pair in document["pairs"]]
    assert sorted(again) == sorted(rows[1:])
    assert {pair["rule"] for pair in document["pairs"]} == {"map"}


@requires_onnx
def test_an_edited_map_overrides(shell, files):
    (files / "pairs.csv").write_text("reference,candidate\ng,m\n")
    _, document = shell.json("match", "a.onnx", "b.onnx", "--map", "pairs.csv")
    (pair,) = [pair for pair in document["pairs"] if pair["reference"]["name"] == "g"]
    assert (pair["candidate"]["name"], pair["rule"]) == ("m", "map")


@requires_onnx
def test_a_stale_map_is_refused(shell, files):
    (files / "pairs.csv").write_text("reference,candidate\ng,gone\n")
    shell.refused("match", "a.onnx", "b.onnx", "--map", "pairs.csv", says=("gone",))


@requires_onnx
def test_a_map_that_cannot_be_written_is_refused_first(shell, files):
    shell.refused("match", "a.onnx", "b.onnx", "--save-map", "nowhere/pairs.csv", says=("nowhere",))


@requires_onnx
def test_the_result_saves_its_map(files):
    import aligner

    result = aligner.compare(str(files / "a.onnx"), str(files / "b.onnx"), {"x": np.load(files / "x.npy")})
    result.save_map(files / "pairs.csv")
    again = aligner.compare(
        str(files / "a.onnx"), str(files / "b.onnx"), {"x": np.load(files / "x.npy")}, mapping=files / "pairs.csv"
    )
    assert [pair.candidate.name for pair in again.pairs] == [pair.candidate.name for pair in result.pairs]


# spelling


def test_names_that_repeat_are_spelled_as_ids(tmp_path):
    reference, candidate = conv_net("r"), conv_net("c")
    values = {key: Value(key, "same", value.shape, value.dtype) for key, value in candidate.values.items()}
    candidate = replace(candidate, values=values)
    pairs = align(reference, candidate, inputs=[("rx", "cx")]).pairs
    written = spelled(pairs, reference, candidate)
    assert {right for _, right in written} == set(candidate.values)
    path = tmp_path / "pairs.csv"
    path.write_text(mapping_text(written))
    assert resolve(read_mapping(path), reference, candidate) == [(pair.reference, pair.candidate) for pair in pairs]


def test_a_name_that_is_another_values_id_is_spelled_as_its_own_id():
    builder = GraphBuilder()
    first = builder.node("relu", [builder.input("x", (1, 4))], (1, 4))
    second = builder.node("relu", [first], (1, 4))
    graph = builder.graph(second)
    graph = replace(graph, values={**graph.values, second: replace(graph.values[second], name=first)})
    written = spelled(align(graph, graph, inputs=[("x", "x")]).pairs, graph, graph)
    assert (second, second) in written


def test_names_with_commas_survive(tmp_path):
    graph = conv_net("r")
    name = 'a,b "c"'
    graph = replace(graph, values={**graph.values, "rrelu_2": replace(graph.values["rrelu_2"], name=name)})
    written = spelled(align(graph, graph, inputs=[("rx", "rx")]).pairs, graph, graph)
    assert (name, name) in written
    path = tmp_path / "pairs.csv"
    path.write_text(mapping_text(written))
    assert ("rrelu_2", "rrelu_2") in resolve(read_mapping(path), graph, graph)


# regions and confidence in compare's reports


def rendered(comparison):
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    print_comparison(comparison, console)
    return console.file.getvalue()


def test_the_first_divergence_shows_its_region():
    made = factory.diverged()
    pair = replace(made.first_divergence, reference_nodes=("conv1/conv2d.0", "bn1/batch_norm.0"))
    text = rendered(replace(made, first_divergence=pair))
    assert "2 nodes: conv1/conv2d.0, bn1/batch_norm.0" in text
    assert "region" not in rendered(made)


def test_the_least_sure_pair_is_named():
    made = factory.diverged()
    pairs = (replace(made.pairs[0], confidence=0.46, rule="order"), *made.pairs[1:])
    assert "lowest confidence 0.46 (order)" in rendered(replace(made, pairs=pairs))
    assert "lowest confidence" not in rendered(made)


def test_region_nodes_are_in_the_json_report():
    made = factory.diverged()
    pair = replace(made.pairs[0], reference_nodes=("one", "two"), candidate_nodes=("three",))
    document = to_document(replace(made, pairs=(pair, *made.pairs[1:])))
    assert not faults(document, SCHEMA)
    assert document["pairs"][0]["reference_nodes"] == ["one", "two"]
    assert from_document(document).pairs[0].candidate_nodes == ("three",)
