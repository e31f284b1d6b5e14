"""The fault bench on deployed forms: faults in flatbuffers, rewrites that change nothing, fused operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tflite_models import residual_network

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")
pytest.importorskip("ai_edge_litert")


@pytest.fixture
def model(tmp_path):
    from benchmarks.faults.tflite_model import TfliteModel

    path = tmp_path / "model.tflite"
    path.write_bytes(residual_network())
    return TfliteModel.read(path, {"x": np.random.default_rng(0).normal(size=(1, 6, 5, 2)).astype(np.float32)})


def gap(before, after):
    return max(float(np.abs(old - new).max()) for old, new in zip(before, after, strict=True))


def test_every_form_has_as_many_clean_pairs_as_kinds_of_faults():
    from benchmarks.faults.cases import all_cases
    from benchmarks.faults.deployed_cases import KINDS

    cases = [case for case in all_cases(0) if case.form]
    assert len({case.name for case in cases}) == len(cases)
    for form, kinds in KINDS.items():
        clean = [case for case in cases if case.group == "clean" and case.form == form]
        assert len(clean) >= len(kinds), form


def test_keras_networks_leave_the_other_halves_as_they_are():
    from benchmarks.faults.architectures import ARCHITECTURES, halves
    from benchmarks.faults.keras_networks import KERAS_NETWORKS, keras_halves

    opened, held = keras_halves(0)
    assert opened
    assert held
    assert opened ^ held == set(KERAS_NETWORKS)
    assert halves(0)[0] | halves(0)[1] == set(ARCHITECTURES)


@pytest.mark.parametrize(
    "kind",
    [
        "weights-changed",
        "weights-not-loaded",
        "weights-half",
        "weights-permuted",
        "weights-bias-missing",
        "padding-asymmetric",
    ],
)
def test_a_fault_planted_in_a_flatbuffer_shows_behind_the_guilty_operator(model, kind):
    from benchmarks.faults.lite_regions import lite_neighbours, lite_region
    from benchmarks.faults.planting.lite import LITE_FAULTS

    faulty = model.copy()
    guilty = LITE_FAULTS[kind].plant(faulty, np.random.default_rng(1))
    exact = lite_region(faulty, guilty)
    assert gap(model.run(), faulty.run()) > 1e-6
    assert exact
    assert not set(exact) & set(lite_neighbours(faulty, guilty, exact))


def test_symmetric_padding_of_a_stride_of_two(model):
    from benchmarks.faults.planting.lite_structure import padding_of

    conv = model.operators[0]
    assert padding_of(model, conv) == [(0, 1), (1, 1)]  # 6 rows, 5 columns, a kernel of 3, a stride of 2


@pytest.mark.parametrize("kind", ["padded-apart", "unfused", "renamed", "idle-nodes"])
def test_rewrites_change_nothing(model, kind):
    from benchmarks.faults.lite_clean import LITE_REWRITES

    rewritten = model.copy()
    if LITE_REWRITES[kind](rewritten, np.random.default_rng(0)):
        assert rewritten.packed() != model.packed()
        assert gap(model.run(), rewritten.run()) < 1e-6


def test_a_weight_of_several_users_edited_for_one_is_known(model):
    other = model.copy()
    add = next(each for each in other.operators if other.word(each) == "CONV_2D")
    other.set_input(add, 1, other.constant(int(add.inputs[1])))
    assert not other.divided
    conv = next(each for each in model.operators if model.word(each) == "CONV_2D")
    model.graph.operators.append(conv)
    model.set_input(conv, 1, model.constant(int(conv.inputs[1])))
    assert model.divided


def test_a_fused_value_shows_in_the_first_after_it_that_the_other_side_has():
    from benchmarks.faults.counterparts import Counterparts

    random = np.random.default_rng(0)
    values = {name: random.normal(size=(1, 2, 3, 4)) for name in ("conv", "norm", "relu")}
    known = [values["relu"].transpose(0, 3, 1, 2)]
    readers = {"conv": ["norm"], "norm": ["relu"]}
    found = Counterparts.among(known, values, lambda name: readers.get(name, []), 1e-4)
    assert found.shown(["conv"]) == ("relu",)
    assert found.shown(["relu"]) == ("relu",)
    assert Counterparts.among([], values, lambda name: readers.get(name, []), 1e-4).shown(["conv"]) == ()


def test_channels_are_moved_to_where_the_shape_wants_them():
    from benchmarks.faults.architectures import channels_fitted

    picture = np.zeros((1, 3, 5, 7), np.float32)
    assert channels_fitted(picture, (1, 5, 7, 3)).shape == (1, 5, 7, 3)
    assert channels_fitted(picture, (1, 3, 5, 7)) is not None
    assert channels_fitted(np.zeros((2, 4)), (2, 4)).shape == (2, 4)


def test_onnx2tf_is_left_out_where_no_environment_is_named(monkeypatch):
    from benchmarks.faults.deployed import makers, missing
    from benchmarks.faults.onnx2tf_form import VARIABLE

    monkeypatch.delenv(VARIABLE, raising=False)
    assert missing("onnx2tf") == "no environment with onnx2tf is named (--onnx2tf)"
    assert makers()["ONNX → TFLite"].startswith("skipped, ")
    assert missing("") is None


def test_a_slow_peer_is_asked_about_a_seeded_sample(monkeypatch, tmp_path):
    from benchmarks.faults import bench
    from benchmarks.faults.peers import PEERS, SPARED, TOOK, states

    slow = replace(PEERS[-1], sample=2)
    monkeypatch.setattr(bench, "PEERS", (slow,))
    answers = lambda record, peer, folder, timeout: record | {"peers": {peer.name: TOOK}}  # noqa: E731
    monkeypatch.setattr(bench, "_with_peer", answers)
    records = [{"name": str(i), "peers": {slow.name: SPARED}} for i in range(5)]
    asked = bench.ask_sample(records, tmp_path, 0)
    assert [each["peers"][slow.name] for each in asked].count(TOOK) == 2
    assert asked == bench.ask_sample(records, tmp_path, 0)
    assert "took 2 of 5 pairs, a seeded sample of the 5 it can take" in states(asked, asked=True)[slow.name]


def test_a_child_that_fails_hangs_or_dies_is_one_failed_case(tmp_path):
    import os
    import time

    from benchmarks.faults.process import run_apart

    log = tmp_path / "log"
    assert run_apart(len, "abc", log=log, timeout=20).value == 3
    assert run_apart(len, 3, log=log, timeout=20).status == "error"
    assert run_apart(os._exit, 3, log=log, timeout=20).status == "crashed"
    assert run_apart(time.sleep, 60, log=log, timeout=1).status == "timeout"
    assert "Timeout" in log.read_text()  # with the place where it hung
