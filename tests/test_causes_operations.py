"""Causes that lie in what only one side does: an operation exchanged, lost, added, in another order, set otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image, proven  # noqa: E402

import aligner  # noqa: E402

F = torch.nn.functional
SQUARE = image((2, 8, 6, 6))
TOKENS = image((2, 6, 8))


@dataclass(frozen=True)
class Case:
    reference: Callable
    candidate: Callable
    x: np.ndarray = field(default_factory=lambda: SQUARE)
    shapes: dict = field(default_factory=lambda: {"k": (8, 8, 1, 1)})

    @cached_property
    def found(self):
        return causes(Net(self.reference, **self.shapes), Net(self.candidate, **self.shapes), self.x)


def then(step):
    """A step between two convolutions, as a converter meets it."""
    return lambda n, x: F.conv2d(step(F.conv2d(x, n.k)), n.k)


def shuffled(groups):
    return lambda x: x.reshape(2, groups, 8 // groups, 6, 6).transpose(1, 2).reshape(2, 8, 6, 6) * 2


def root(inside):
    def normalised(x):
        square = x.pow(2).mean(1, keepdim=True)
        return x / (torch.sqrt(square + 0.05) if inside else torch.sqrt(square) + 0.05)

    return normalised


def heads(count, weigh=lambda q, k, v: torch.softmax(q @ k.transpose(-1, -2), -1) @ v):
    def attend(n, x):
        q, k, v = ((x @ w).view(*x.shape[:2], count, -1).transpose(1, 2) for w in (n.q, n.k, n.v))
        return weigh(q, k, v).transpose(1, 2).reshape(x.shape)

    return attend


CASES = {
    "setting-changed": Case(lambda n, x: x[:, :, 2].sin(), lambda n, x: x[:, :, 4].sin()),
    "operation-changed": Case(then(lambda x: x * x), then(torch.abs)),
    "operation-extra": Case(then(torch.sigmoid), then(lambda x: torch.sigmoid(torch.sigmoid(x)))),
    "operation-missing": Case(then(lambda x: torch.tanh(x) * 0.5), then(lambda x: x * 0.5)),
    "operation-order": Case(then(root(inside=True)), then(root(inside=False))),
    "axis-split": Case(then(shuffled(2)), then(shuffled(4))),
}


@pytest.mark.parametrize("identifier", CASES)
def test_a_model_with_the_fault_names_it(identifier):
    first, *_ = CASES[identifier].found
    assert (first.id, first.evidence_class) == (identifier, "proven"), first.evidence
    assert first.explained > 0.999


@pytest.mark.parametrize("identifier", CASES)
def test_no_other_fault_is_taken_for_it(identifier):
    for other, case in CASES.items():
        if other != identifier:
            assert identifier not in proven(case.found)[:1]


def test_another_number_of_heads_is_told_though_no_shape_fits():
    weights = dict.fromkeys("qkv", (8, 8))
    first, *_ = Case(heads(2), heads(4), TOKENS, weights).found
    assert (first.id, first.evidence_class) == ("axis-split", "proven"), first.evidence
    assert "2 × 4" in first.suggestion


def spelled(q, k, v):
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1) @ v


HEADS = {
    "spelled out": (spelled, spelled),
    "one operation": (F.scaled_dot_product_attention, F.scaled_dot_product_attention),
    "one for several": (spelled, F.scaled_dot_product_attention),
    "several for one": (F.scaled_dot_product_attention, spelled),
}


@pytest.mark.parametrize("weigh", HEADS.values(), ids=HEADS)
def test_another_number_of_heads_is_no_other_order_of_axes(tmp_path, weigh):
    """4 × 8 and 8 × 4 are taken for axes in another order, and no later node may be blamed for that order."""
    x, weights = image((1, 9, 32)) / 4, dict.fromkeys("qkv", (32, 32))
    nets = [Net(heads(count, one), **weights).eval() for count, one in zip((4, 8), weigh, strict=True)]
    torch.jit.trace(nets[1], torch.from_numpy(x)).save(tmp_path / "heads.pt")
    found = aligner.compare(nets[0], tmp_path / "heads.pt", x).causes
    assert (found[0].id, found[0].evidence_class) == ("axis-split", "proven"), found[0].evidence
    assert proven(found) == ["axis-split"]


def test_a_mask_that_lets_a_query_see_nothing():
    def masked(diagonal):
        mask = torch.zeros(6, 6).masked_fill(torch.ones(6, 6).triu(diagonal) > 0, float("-inf"))
        return lambda n, x: F.scaled_dot_product_attention(x @ n.q, x @ n.k, x, attn_mask=mask)

    first, *_ = Case(masked(1), masked(0), TOKENS, dict.fromkeys("qk", (8, 8))).found
    assert (first.id, first.evidence_class) == ("attention-mask", "proven"), first


@pytest.mark.parametrize(
    ("step", "name"),
    [(lambda x: x.clamp(max=0.3), "clamp"), (torch.round, "round"), (lambda x: x.int().float(), "int")],
    ids=["a limit", "a rounding", "a cast"],
)
def test_what_only_the_candidate_does_is_named_with_its_node(step, name):
    first, *_ = Case(then(torch.relu), then(lambda x: step(torch.relu(x)))).found
    assert first.explained > 0.999
    assert name in first.node or first.id == "saturation", first.evidence


def test_no_cause_names_what_neither_model_has():
    found = CASES["operation-extra"].found
    assert not any("relu" in one.evidence + one.suggestion for one in found)


def causal(value, diagonal):
    def attend(n, x):
        scores = (x @ n.q) @ (x @ n.k).transpose(-1, -2)
        mask = torch.triu(torch.full((6, 6), value), diagonal) if value else 0.0
        return torch.softmax(scores + mask if value else scores, -1) @ x

    return attend


@pytest.mark.parametrize("value", [-1e4, float("-inf")])
@pytest.mark.parametrize(
    ("candidate", "words"), [((None, 1), "the candidate applies no mask"), ((..., 2), "hides 10 of 36 places")]
)
def test_a_causal_mask_that_is_missing_or_shifted(value, candidate, words):
    weights = dict.fromkeys("qk", (8, 8))
    depth, diagonal = candidate
    first, *_ = Case(causal(value, 1), causal(value if depth is ... else depth, diagonal), TOKENS, weights).found
    assert (first.id, first.evidence_class) == ("attention-mask", "proven"), first
    assert words in first.evidence


@pytest.mark.parametrize("kept", [0, 1])
def test_a_lost_gate_is_told_whatever_stands_in_its_place(kept):
    halves = [lambda x: F.silu(x[:, :4]), lambda x: x[:, 4:]]
    weights = {"k": (8, 8, 1, 1), "down": (8, 4, 1, 1)}

    def gated(*factors):
        def run(n, x):
            x, product = F.conv2d(x, n.k), 1.0
            for factor in factors:
                product = product * factor(x)
            return F.conv2d(product, n.down)

        return run

    first, *_ = Case(gated(*halves), gated(halves[kept]), shapes=weights).found
    assert (first.id, first.evidence_class) == ("operation-missing", "proven"), first
    assert "mul" in first.evidence


def test_a_lost_sum_with_a_stored_vector_is_a_lost_bias():
    shapes = {"b": (8, 1, 1)}
    first, *_ = Case(lambda n, x: torch.tanh(x.abs() + n.b), lambda n, x: torch.tanh(x.abs()), shapes=shapes).found
    assert (first.id, first.evidence_class) == ("weights-bias-missing", "proven"), first
