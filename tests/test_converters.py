from __future__ import annotations

import numpy as np
import pytest

from tests.marks import requires_onnx

pytestmark = requires_onnx


def _cases(count, **settings):
    from benchmarks.converters.case import case

    return [made for seed in range(count) if (made := case(seed, **settings)) is not None]


def test_a_case_is_made_from_its_seed_alone():
    from benchmarks.converters.case import case
    from benchmarks.converters.graph import to_proto

    first, second = (case(3, faulty=True) for _ in range(2))
    assert to_proto(first.candidate).SerializeToString() == to_proto(second.candidate).SerializeToString()
    assert first.planted == second.planted


def test_rewritten_graphs_compute_the_same():
    from benchmarks.converters.case import MEANING_KEPT
    from benchmarks.converters.graph import run

    for made in _cases(6, faulty=False):
        wanted, got = run(made.reference), run(made.candidate)
        for name in wanted:
            assert np.abs(got[name] - wanted[name]).max() <= 20 * MEANING_KEPT * np.abs(wanted[name]).max()


def test_a_planted_fault_shows_and_is_known_by_node_or_by_tensor():
    from benchmarks.converters.graph import run

    for made in _cases(8, faulty=True):
        wanted, got = run(made.clean), run(made.candidate)
        assert any(not np.allclose(got[name], wanted[name], rtol=1e-4) for name in wanted)
        assert made.planted.nodes or made.planted.tensors
        assert set(made.planted.nodes) <= {node.name for node in made.candidate.nodes}


def test_faults_that_put_a_node_in_are_drawn_and_counted_apart():
    from benchmarks.converters.scoring import Outcome
    from benchmarks.converters.table import summary

    chosen = [made.planted for made in _cases(6, faulty=True, planted=["clip_inserted", "noise_inserted"])]
    assert chosen and all(not one.tensors and one.nodes for one in chosen)
    found = [
        Outcome(seed, "tabular", fault, "", "diverged", exact=fault != "noise_inserted")
        for seed, fault in enumerate(["clip_inserted", "noise_inserted", "bias_lost", "bias_lost"])
    ]
    rows = {row.split("|")[1].strip(): row for row in summary(found).splitlines() if row.startswith("|")}
    assert " 75.0% " in rows["all"] and " 2 | 100.0% | 50.0% " in rows["of these: a node put in"]


def test_new_names_leave_the_blame_where_it_is():
    """A name that a node gets may be one that another had: that one is not blamed in its turn."""
    from benchmarks.converters.graph import Graph, Node
    from benchmarks.converters.rewrites import apply

    x = np.ones((2, 3), np.float32)
    for start in range(101, 108):
        names = [f"n{start + place}" for place in range(800)]
        nodes = [Node("Relu", [f"v{at}"], [f"v{at + 1}"], name=name) for at, name in enumerate(names)]
        graph = Graph({"v0": x}, ["v800"], nodes, blamed={names[5]})
        apply(graph, "rename", np.random.default_rng(start))
        assert graph.blamed == {graph.nodes[5].name}


def test_a_case_that_cannot_be_made_is_told_and_drops_no_other(monkeypatch):
    from benchmarks.converters import running
    from benchmarks.converters.table import failure, summary

    def broken(*_, **__):
        raise KeyError("pads")

    monkeypatch.setattr(running, "case", broken)
    outcomes = list(running.run(range(2), kinds=[False]))
    assert [failure(each) for each in outcomes] == ["not made", "not made"]
    assert "| all | 0 |" in summary(outcomes)
    assert "2  not made" in summary(outcomes)


def test_rewrites_leave_alone_what_they_cannot_read():
    """A number without an axis has no first size; the amounts of a Pad may be computed."""
    from benchmarks.converters.networks.builder import Builder
    from benchmarks.converters.rewrites import apply

    rng = np.random.default_rng(1)
    build = Builder(rng, {"x": rng.standard_normal((1, 2, 5, 5)).astype(np.float32)}, opset=17)
    amounts = build.op("Identity", build.keep(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)))
    padded = build.op("Pad", "x", amounts, build.keep(np.float32(0)), mode="constant")
    y = build.op("Conv", padded, build.keep(build.normal(3, 2, 3, 3)), pads=[0, 0, 0, 0])
    mean = build.op("ReduceMean", y, keepdims=0)
    graph = build.finish(build.op("Unsqueeze", mean, build.keep(np.array([0, 1], np.int64))))
    for seed in range(4):
        assert not apply(graph.copy(), "pads_in", np.random.default_rng(seed))
        apply(graph.copy(), "reshape_in_other_words", np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
def test_every_rewrite_that_applies_keeps_the_meaning(seed):
    from benchmarks.converters.graph import run
    from benchmarks.converters.networks import NETWORKS
    from benchmarks.converters.rewrites import REWRITES, apply

    tried = 0
    for network in (NETWORKS["cnn"], NETWORKS["tabular"], NETWORKS["transformer"]):
        base = network(np.random.default_rng(seed))
        wanted = run(base)
        for place, name in enumerate(REWRITES):
            graph = base.copy()
            if apply(graph, name, np.random.default_rng([seed, place])):
                tried += 1
                for output, array in run(graph).items():
                    peak = np.abs(wanted[output]).max()
                    assert np.abs(array - wanted[output]).max() <= 1e-5 * peak, f"{name} in {network.__name__}"
    assert tried > 60


def test_blame_follows_a_node_that_is_written_otherwise():
    from benchmarks.converters.networks.builder import Builder
    from benchmarks.converters.rewrites import apply

    build = Builder(np.random.default_rng(0), {"x": np.ones((2, 4), np.float32)}, opset=17)
    graph = build.finish(build.op("Softmax", build.op("Sigmoid", "x"), axis=-1))
    guilty = next(node for node in graph.nodes if node.op == "Sigmoid")
    graph.blamed = {guilty.name}
    assert apply(graph, "sigmoid_by_tanh", np.random.default_rng(0))
    kinds = {node.op for node in graph.nodes if node.name in graph.blamed}
    assert kinds == {"Tanh", "Mul", "Add"}


def test_what_a_reference_computes_inside_of_one_node_is_answered_by_the_next_tensor_that_it_shows():
    from benchmarks.converters.case import Case, Recipe
    from benchmarks.converters.graph import Graph, Node
    from benchmarks.converters.scoring import reference_truth

    x = np.arange(16, dtype=np.float32).reshape(4, 4) / 16
    nodes = [
        Node("Softmax", ["x"], ["shares"], name="shares"),
        Node("MatMul", ["shares", "x"], ["mixed"], name="mixed"),
    ]
    graph = Graph({"x": x}, ["mixed"], nodes)
    made = Case(Recipe(0, "attention"), graph, graph, graph, wrong={"shares": graph.values["shares"]})
    spelled_out = {"softmax.0": graph.values["shares"], "matmul.0": graph.values["mixed"]}
    assert reference_truth(made, spelled_out) == {"softmax.0"}
    assert reference_truth(made, {"attention.0": graph.values["mixed"]}) == {"attention.0"}


def test_rarer_rewrites_and_faults_find_places_and_are_drawn_only_where_asked_for():
    from benchmarks.converters.case import _kept, recipe
    from benchmarks.converters.faults import FAULTS
    from benchmarks.converters.faults import RARER as RARER_FAULTS
    from benchmarks.converters.networks import NETWORKS
    from benchmarks.converters.rewrites import RARER, REWRITES, apply

    names = ["llama", "unet", "upscaler", "vit", "convnext", "detector", "cnn"]
    graphs = [NETWORKS[name](np.random.default_rng([seed, 5])) for name in names for seed in range(4)]
    for name in RARER:
        copies = ((graph, graph.copy()) for graph in graphs)
        found = next((both for both in copies if apply(both[1], name, np.random.default_rng(1))), None)
        assert found is not None, name
        assert _kept(*found), name
    for name, plant in RARER_FAULTS.items():
        assert any(plant(graph.copy(), np.random.default_rng(1)) for graph in graphs), name
    assert not REWRITES.keys() & RARER.keys() and not FAULTS.keys() & RARER_FAULTS.keys()
    assert not any(step.name in RARER for seed in range(20) for step in recipe(seed, faulty=True).candidate)
