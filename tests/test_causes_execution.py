"""What is left when weights and settings agree: kernels, wrong pairs, rounding, honest ignorance."""

from __future__ import annotations

import numpy as np

from aligner.causes.context import Context
from aligner.causes.search import find_causes
from aligner.records.alignment import PairedValues, Region
from aligner.records.comparison import Errors
from aligner.records.difference import Difference
from aligner.records.graph import Graph, Node, Value
from aligner.records.measurement import Measured, Noise
from aligner.regions.subgraph import Evidence

X = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)


def graph(kind: str) -> Graph:
    outputs = ("y", "z") if kind == "split" else ("y",)
    node = Node(0, f"the {kind}", {"tanh": "Tanh", "sigmoid": "Sigmoid"}.get(kind, kind), kind, ("x",), outputs)
    return Graph("onnx", (node,), {name: Value(name, name) for name in ("x", *outputs)}, {}, ("x",), ("y",))


def culprit(
    kind: str,
    expected,
    found,
    noise: float | None = None,
    extra=None,
    step: float | None = None,
    other=None,
    recorded: bool = False,
):
    """The causes found where ``kind`` stands in both graphs, or ``other`` in the candidate."""
    delta = np.abs(found.astype(np.float64) - expected)
    errors = Errors(
        float(delta.max()), float(delta.mean()), float(delta.sum()), float(delta.std()), 1.0, 0.9, (0, 0), 1.0
    )
    local = Difference(errors, 1.0, float(np.abs(expected).max()), expected.size)
    region = Region((0,), (), ("x",))
    pair = PairedValues("y", "y", "name", 1.0, reference_region=region, candidate_region=region)
    floor = Noise(noise, 1.0) if noise else None
    measured = Measured(pair, expected.shape, found.shape, "float32", "float32", local, local, floor, step)
    values = {"x": X, "y": expected}
    evidence = Evidence(expected, found, (values | (extra or {}), values | {"y": found}))
    graphs = graph(kind), graph(other or kind)
    return find_causes(Context(graphs, [measured], [measured], recorded=recorded), {"y": evidence})


def ids(found):
    return [finding.id for finding in found]


def test_a_kernel_that_does_not_compute_its_own_node():
    wrong = np.tanh(X) + 0.3 * np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
    found = culprit("tanh", np.tanh(X), wrong)
    assert found[0].id == "fusion-or-kernel"
    assert found[0].explained is not None and found[0].explained > 0.99


def test_what_was_recorded_proves_nothing_of_a_kernel():
    wrong = np.tanh(X) + 0.3 * np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
    first, *_ = culprit("tanh", np.tanh(X), wrong, recorded=True)
    assert (first.id, first.evidence_class) == ("fusion-or-kernel", "suspected")
    assert "other weights or settings, or its kernel" in first.evidence


def test_another_activation_is_no_kernel_fault():
    found = culprit("tanh", np.tanh(X), 1 / (1 + np.exp(-X)), other="sigmoid")
    assert found[0].id in {"activation-variant", "operation-changed"}
    assert "fusion-or-kernel" not in ids(found)


def test_the_other_part_of_a_split_is_another_order():
    parts = X[:, :20], X[:, 20:]
    found = culprit("split", parts[0], parts[1], extra={"z": parts[1]})
    assert (found[0].id, found[0].node) == ("split-order", "the split")
    assert found[0].explained is not None and found[0].explained > 0.99
    assert "part 2 of 2 of the reference's split" in found[0].evidence


def test_what_is_no_part_of_the_split_is_no_other_order():
    found = culprit("split", X[:, :20], X[:, 20:] * 2, extra={"z": X[:, 20:]})
    assert "split-order" not in ids(found)


def test_an_error_of_rounding_size_is_called_rounding():
    found = culprit("opaque", np.tanh(X), (np.tanh(X) * (1 + 3e-6)).astype(np.float32))
    assert "rounding" in ids(found)


def test_a_large_error_is_not_called_rounding():
    assert "rounding" not in ids(culprit("opaque", np.tanh(X), np.tanh(X) + 0.1 * X))


def test_noise_as_large_as_the_error_means_ill_conditioned():
    assert "ill-conditioned" in ids(culprit("opaque", np.tanh(X), np.tanh(X) + 0.01 * X * X, noise=0.02))


def test_quiet_tensors_are_not_ill_conditioned():
    assert "ill-conditioned" not in ids(culprit("opaque", np.tanh(X), np.tanh(X) + 0.01 * X * X, noise=1e-7))


def test_the_honest_answer_has_a_residual_and_little_confidence():
    (found,) = culprit("opaque", np.tanh(X), np.tanh(X) + 0.1 * X * np.abs(X))
    assert found.id == "unknown" and found.explained is None and found.confidence < 0.3
    assert "residual" in found.evidence
