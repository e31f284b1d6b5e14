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
