"""Each cause that lies in the order of elements, operands and constants; two models for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image, proven  # noqa: E402

F = torch.nn.functional
SQUARE = image((2, 6, 6, 6))
ORDER = torch.tensor([1, 1, 0, 5, 2, 3])
DENSE = {"k": (4, 3, 3, 3), "w": (5, 4 * 7 * 5)}
RNN = {"wi": (32, 6), "wh": (32, 8), "bi": (32,), "bh": (32,)}
GRU = {"wi": (24, 6), "wh": (24, 8), "bi": (24,), "bh": (24,)}
STEPS = image((2, 7, 6))


@dataclass(frozen=True)
class Case:
    reference: Callable
    candidate: Callable
    shapes: dict = field(default_factory=dict)
    x: np.ndarray | None = None

    @cached_property
    def found(self):
        return causes(Net(self.reference, **self.shapes), Net(self.candidate, **self.shapes), self.x)


def recurrent(kind, rows=None):
    def forward(n, x):
        state = torch.zeros(1, x.shape[0], 8)
        weights = [n.wi, n.wh, n.bi, n.bh]
        if rows is not None:
            weights = [w.reshape(len(rows), 8, -1)[list(rows)].reshape(w.shape) for w in weights]
        if kind == "lstm":
            y = torch.lstm(x, (state, state), weights, True, 1, 0.0, False, False, True)[0]
        else:
            y = torch.gru(x, state, weights, True, 1, 0.0, False, False, True)[0]
        return y * 2

    return forward


def written(write: bool):
    def forward(n, x):
        y = F.relu(x).clone()
        if write:
            y[:, :, ::2].mul_(0.5)
        return F.conv2d(y, n.k)

    return forward


def baked(live: bool):
    return lambda n, x: x / (x.abs().max() if live else torch.tensor(2.5))


CASES = {
    "layout-transposition": Case(
        lambda n, x: x.permute(0, 1, 3, 2) * 1.5, lambda n, x: x.permute(0, 2, 3, 1) * 1.5, x=SQUARE
    ),
    "flatten-order": Case(
        lambda n, x: F.linear(F.conv2d(x, n.k).flatten(1), n.w),
        lambda n, x: F.linear(F.conv2d(x, n.k).permute(0, 2, 3, 1).flatten(1), n.w),
        DENSE,
    ),
    "concat-order": Case(
        lambda n, x: torch.cat([F.relu(x), torch.tanh(x)], 1), lambda n, x: torch.cat([torch.tanh(x), F.relu(x)], 1)
    ),
    "axis-not-remapped": Case(
        lambda n, x: x.index_select(1, ORDER) * 1.5, lambda n, x: x.index_select(2, ORDER) * 1.5, x=SQUARE
    ),
    "slice-bounds": Case(lambda n, x: F.relu(x)[:, :, 1:-1, 1:5] * 2, lambda n, x: F.relu(x)[:, :, 1:-1, 0:4] * 2),
    "rolled": Case(
        lambda n, x: torch.tanh(x).roll(2, 3) * 2, lambda n, x: torch.tanh(torch.cat([x[..., -3:], x[..., :-3]], 3)) * 2
    ),
    "spatial-flip": Case(lambda n, x: torch.tanh(x) * 2, lambda n, x: torch.tanh(x.flip(3)) * 2),
    "broadcast-axis": Case(lambda n, x: x * n.v.reshape(6, 1, 1), lambda n, x: x * n.v, {"v": (6,)}, SQUARE),
    "residual-missing": Case(
        lambda n, x: F.conv2d(x, n.k) + x, lambda n, x: F.conv2d(x, n.k) + 0 * x, {"k": (3, 3, 1, 1)}
    ),
    "operand-swapped": Case(lambda n, x: F.conv2d(x, n.k) - x, lambda n, x: x - F.conv2d(x, n.k), {"k": (3, 3, 1, 1)}),
    "constant-changed": Case(lambda n, x: torch.tanh(x) * 2.0, lambda n, x: torch.tanh(x) * 4.0),
    "rnn-gate-order": Case(recurrent("lstm"), recurrent("lstm", rows=(1, 0, 2, 3)), RNN, STEPS),
    "embedding-offset": Case(
        lambda n, x: F.embedding(x, n.e),
        lambda n, x: F.embedding(x + 1, n.e),
        {"e": (12, 8)},
        np.arange(10).reshape(2, 5),
    ),
    "inplace-write-lost": Case(written(True), written(False), {"k": (4, 3, 3, 3)}),
    "trace-baked-constant": Case(baked(True), baked(False)),
    "trace-baked-branch": Case(lambda n, x: torch.tanh(x) * 1.5, lambda n, x: torch.tanh(x) - 0.75),
}
UNPROVEN = {"trace-baked-branch"}
"""One input cannot prove them."""


@pytest.mark.parametrize("identifier", CASES)
def test_a_model_with_the_fault_names_it(identifier):
    found = CASES[identifier].found
    assert found[0].id == identifier, [(f.id, f.explained, f.evidence) for f in found]
    assert identifier in UNPROVEN or (found[0].explained is not None and found[0].explained > 0.9)


@pytest.mark.parametrize("identifier", CASES)
def test_no_other_fault_is_taken_for_it(identifier):
    names = list(CASES)
    for step in (1, 4):
        other = names[(names.index(identifier) + step) % len(names)]
        assert identifier not in proven(CASES[other].found)[:1], other


@pytest.mark.parametrize("identifier", CASES)
def test_a_clean_pair_has_no_causes(identifier):
    case = CASES[identifier]
    assert causes(Net(case.reference, **case.shapes), Net(case.reference, **case.shapes), case.x) == []


def test_a_proven_cause_further_down_says_what_it_leaves_open():
    def reference(n, x):
        return F.conv2d(F.relu(torch.sin(x * 3)), n.k)

    def candidate(n, x):
        return F.conv2d(F.relu(torch.sin(x.cumsum(3) / (x.abs() + 1))), n.k.transpose(0, 1))

    first, second = causes(Net(reference, k=(3, 3, 3, 3)), Net(candidate, k=(3, 3, 3, 3)))
    assert (first.id, second.id) == ("weights-transposed", "unknown")
    assert f"nothing is proven of the first divergence, {second.node}" in first.evidence


def test_groups_of_channels_that_cut_across_axes_are_no_divergence():
    def whole(n, x):
        return F.group_norm(F.conv2d(x, n.k), 2) * 1.5

    def taken_apart(n, x):
        y = F.conv2d(x, n.k)
        groups = y.reshape(y.shape[0], 2, -1)
        centred = groups - groups.mean(2, keepdim=True)
        scaled = centred / torch.sqrt((centred * centred).mean(2, keepdim=True) + 1e-5)
        return scaled.reshape(y.shape) * 1.5

    shapes = {"k": (4, 3, 3, 3)}
    assert causes(Net(whole, **shapes), Net(taken_apart, **shapes)) == []


def whole_view(write: bool):
    def forward(n, x):
        y = F.conv2d(x, n.k).mean((2, 3), keepdim=True).clone()
        if write:
            y[:, :, ::2].mul_(0.5)
        return torch.sigmoid(y)

    return forward


SUBTLE = {
    "a write through a view of everything": ("inplace-write-lost", Case(whole_view(True), whole_view(False), DENSE)),
    "a scale left out before a softmax": (
        "attention-scale",
        Case(
            lambda n, x: torch.softmax(x @ n.k * 0.35, -1) * 2,
            lambda n, x: torch.softmax(x @ n.k, -1) * 2,
            {"k": (7, 7)},
        ),
    ),
    "a divisor that shows behind a convolution": (
        "reduce-axis-or-bias",
        Case(
            lambda n, x: F.conv2d(x.mean((2, 3), keepdim=True), n.k, n.b),
            lambda n, x: F.conv2d(x.mean((2, 3), keepdim=True) * (63 / 62), n.k, n.b),
            {"k": (4, 3, 1, 1), "b": (4,)},
        ),
    ),
}


@pytest.mark.parametrize("name", SUBTLE)
def test_what_shows_behind_other_operations_is_proven(name):
    identifier, case = SUBTLE[name]
    first, *_ = case.found
    assert (first.id, first.explained is not None) == (identifier, True), first


def test_an_output_with_its_axes_in_another_order_is_no_match():
    import torch

    import aligner

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = torch.nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return torch.tanh(self.conv(x))

    class Turned(Plain):
        def forward(self, x):
            return torch.tanh(self.conv(x)).transpose(2, 3)

    picture = torch.rand(1, 3, 8, 6).numpy()
    found = aligner.compare(Plain().eval(), Turned().eval(), picture).comparison
    assert found.verdict == "diverged"
    assert found.causes[0].id == "layout-transposition" and found.causes[0].explained == 1.0
    assert aligner.compare(Plain().eval(), Plain().eval(), picture).comparison.verdict == "aligned"


def pooling(kind):
    return lambda n, x: kind(x, 1) * 2


FLAT = torch.randn(5, 3 * 9 * 7, generator=torch.Generator().manual_seed(2))
REORDERED = FLAT.reshape(5, 3, 9, 7).permute(0, 2, 3, 1).flatten(1)
OTHERS = {
    "add, sub": ("operand-swapped", lambda n, x: F.relu(x) + torch.sin(x), lambda n, x: F.relu(x) - torch.sin(x)),
    "mul, max": (
        "operand-swapped",
        lambda n, x: F.relu(x) * torch.sin(x),
        lambda n, x: torch.maximum(F.relu(x), torch.sin(x)),
    ),
    "a stored vector for a skip": (
        "residual-missing",
        lambda n, x: F.relu(x) + torch.sin(x),
        lambda n, x: F.relu(x) + torch.tensor([[[0.5]], [[-0.2]], [[0.7]]]),
    ),
    "columns in the order of another flatten": (
        "flatten-order",
        lambda n, x: F.linear(F.relu(x).flatten(1), FLAT),
        lambda n, x: F.linear(F.relu(x).flatten(1), REORDERED),
    ),
    "softsign": ("activation-variant", lambda n, x: torch.tanh(x) * 2, lambda n, x: F.softsign(x) * 2),
    "gate": ("activation-variant", lambda n, x: F.silu(x * 2), lambda n, x: (x * 2) * (x * 2)),
    "orders": (
        "reduce-axis-or-bias",
        lambda n, x: torch.tanh(x).sort(3).values,
        lambda n, x: torch.tanh(x).sort(3, descending=True).values,
    ),
    "pools": ("reduce-axis-or-bias", pooling(F.adaptive_avg_pool2d), pooling(F.adaptive_max_pool2d)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_operation_on_the_same_operands_is_proven(name):
    identifier, reference, candidate = OTHERS[name]
    found = causes(Net(reference), Net(candidate))
    assert proven(found)[:1] == [identifier], [(f.id, f.evidence) for f in found]


def test_what_reads_numbers_that_an_integer_cannot_hold_is_not_guilty():
    def through(dtype):
        return lambda n, x: torch.sin((x.abs() * 300).to(dtype) / 300)

    found = causes(Net(through(torch.int32)), Net(through(torch.uint8)))
    assert [(one.id, one.evidence_class) for one in found] == [("setting-changed", "proven")]


def spelled_out(axis, scale):
    def forward(n, x):
        scores = (x * scale) @ (x.transpose(-1, -2) * scale)
        weights = torch.softmax(scores, axis)
        return torch.where(torch.isnan(weights), torch.zeros(()), weights) @ x

    return forward


@pytest.mark.parametrize(
    ("identifiers", "axis", "scale"),
    [({"softmax-axis"}, -2, 0.6**0.5), ({"constant-changed", "attention-scale"}, -1, 1.0)],
)
def test_attention_of_one_operation_against_one_spelled_out(identifiers, axis, scale):
    whole = Net(lambda n, x: F.scaled_dot_product_attention(x, x, x, scale=0.6))
    found = causes(whole, Net(spelled_out(axis, scale)), image((1, 2, 7, 5)))
    assert set(proven(found)[:1]) <= identifiers, [(f.id, f.evidence) for f in found]
    assert proven(found)


def masked(added):
    def forward(n, x):
        return torch.softmax(x @ x.transpose(-1, -2) * 0.5 + added, -1) @ x

    return forward


LATER = torch.ones(7, 7).triu(1)
MASKS = {
    "shifted": (torch.ones(7, 7).triu(2) * -1e9, "hides 15 of 49 places, what lies 2 or more after each"),
    "turned around": (LATER.T * -1e9, "hides 21 of 49 places"),
    "too small": (LATER * -3.0, "hides no place, it adds -3 to 21 of 49"),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_causal_attention_of_one_operation_against_another_mask(name, turned):
    added, words = MASKS[name]
    pair = Net(lambda n, x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.5)), Net(masked(added))
    first, *_ = causes(*(pair[::-1] if turned else pair), image((1, 2, 7, 5)))
    assert (first.id, first.evidence_class) == ("attention-mask", "proven"), first
    assert words in first.evidence
    assert "hides 21 of 49 places, what lies 1 or more after each" in first.evidence


def test_heads_that_share_their_keys():
    def attend(causal):
        def forward(n, x):
            keys = torch.sin(x[:, :2])
            return F.scaled_dot_product_attention(x, keys, keys, is_causal=causal, enable_gqa=True)

        return forward

    assert proven(causes(Net(attend(True)), Net(attend(False)), image((1, 4, 7, 5))))[:1] == ["attention-mask"]


def test_a_bias_before_a_softmax_is_no_mask():
    right, wrong = (torch.tensor([0.3, -0.4, 0.0, 1.0]) * factor for factor in (1, 0))

    def classify(bias):
        return lambda n, x: torch.softmax(x @ torch.linspace(-1, 1, 20).reshape(5, 4) + bias, -1)

    found = causes(Net(classify(right)), Net(classify(wrong)), image((1, 2, 7, 5)))
    assert "attention-mask" not in {cause.id for cause in found}


def test_a_window_lost_where_the_other_side_is_only_causal():
    def attend(window):
        def forward(n, x):
            near = torch.ones(7, 7, dtype=torch.bool).tril().triu(-window) if window else None
            return F.scaled_dot_product_attention(x, x, x, near, is_causal=near is None)

        return forward

    for windows in ((2, 0), (0, 2), (2, 3)):
        first, *_ = causes(*(Net(attend(each)) for each in windows), image((1, 2, 7, 5)))
        assert (first.id, first.evidence_class) == ("attention-mask", "proven"), first
        assert "of 49 places" in first.evidence


@pytest.mark.parametrize("taken", [lambda x, n: n, lambda x, n: x * 1.5])
def test_a_residual_from_another_tensor(taken):
    def block(skip):
        def forward(n, x):
            x = F.linear(x, n.i)
            normed = F.layer_norm(x, (7,))
            return F.linear(F.linear(normed, n.a).relu() + skip(x, normed), n.c)

        return forward

    weights = {"i": (7, 7), "a": (7, 7), "c": (3, 7)}
    nets = [Net(block(skip), **weights) for skip in (lambda x, n: x, taken)]
    first, *_ = causes(*nets, image((2, 5, 7)))
    assert first.evidence_class == "proven", first
    expected = "residual-missing" if taken(1, 0) == 0 else "operation-extra"
    assert first.id == expected and (expected != "residual-missing" or "which answers" in first.evidence), first


@pytest.mark.parametrize("second", [lambda gate, value: value, lambda gate, value: gate])
def test_a_product_with_another_tensor(second):
    def unit(second):
        def forward(n, x):
            gate, value = F.linear(x, n.a), F.linear(x, n.b)
            return F.linear(torch.tanh(gate) * second(gate, value), n.c)

        return forward

    weights = {"a": (9, 7), "b": (9, 7), "c": (3, 9)}
    found = causes(*(Net(unit(each), **weights) for each in (lambda gate, value: value, second)), image((2, 5, 7)))
    told = [(one.id, one.evidence_class) for one in found[:1]]
    assert told == ([("wrong-operand", "proven")] if second(0, 1) == 0 else []), found


def test_gate_and_value_exchanged_are_told_where_the_gate_is_read():
    """Their products are alike while numbers are small: no reason to take one for another form of the other."""

    def unit(turned):
        def forward(n, x):
            gate, value = (F.linear(x, n.a), F.linear(x, n.b))[:: -1 if turned else 1]
            return F.linear(F.silu(gate) * value, n.c)

        return forward

    weights = {"a": (9, 7), "b": (9, 7), "c": (3, 9)}
    first, *_ = causes(*(Net(unit(turned), **weights) for turned in (False, True)), image((2, 5, 7)))
    assert (first.id, first.evidence_class) == ("wrong-operand", "proven"), first
    assert first.node.startswith("silu"), first


@pytest.mark.parametrize(
    ("left", "advice"),
    [(lambda x: 0 * x, "connect the skip connection to this sum"), (None, "put the sum back: the reference adds ")],
)
def test_a_residual_that_is_gone_with_its_sum(left, advice):
    def block(skip):
        return lambda n, x: (F.conv2d(x, n.k) + skip(x) if skip else F.conv2d(x, n.k)) * 2

    first, *_ = causes(*(Net(block(skip), k=(3, 3, 1, 1)) for skip in (lambda x: x, left)))
    assert (first.id, first.evidence_class) == ("residual-missing", "proven"), first
    assert first.suggestion.startswith(advice), first


def test_the_gate_and_the_value_of_a_gated_unit_exchanged():
    def unit(first):
        def forward(n, x):
            parts = torch.chunk(x * 2, 2, 1)
            return parts[first] * torch.sigmoid(parts[1 - first])

        return forward

    found = causes(Net(lambda n, x: F.glu(x * 2, 1)), Net(unit(1)), image((2, 6, 5, 4)))
    assert proven(found)[:1] == ["split-order"], [(f.id, f.evidence) for f in found]


def test_numbers_near_zero_do_not_explain_an_error_in_the_hundreds():
    def attend(turned):
        def forward(n, x):
            scores = x @ x.transpose(-1, -2)
            return torch.softmax((8.0 / scores if turned else scores / 8.0), -1) @ x

        return forward

    found = causes(Net(attend(False)), Net(attend(True)), image((2, 5, 6)) * 0.01)
    assert proven(found)[:1] == ["operand-swapped"]
    assert "attention-scale" not in proven(found)


def test_two_modules_of_one_convention_are_fed_alike():
    """Sizes look like channels last; only one of the two fails when the array is turned by that."""

    def halves(order):
        def forward(n, x):
            large = F.interpolate(torch.cumsum(x, 1), scale_factor=2, mode="bilinear")
            return torch.cat([large.chunk(3, 1)[k] for k in order], 1) if order else large

        return forward

    import aligner

    found = aligner.compare(Net(halves(())), Net(halves((0, 2, 1))), image((2, 6, 5, 4)))
    assert [p.candidate.node for p in found.introduced] == ["cat.0"], found.introduced
    assert len({p.reference.shape for p in found.pairs}) == 2


def test_nothing_is_searched_for_where_what_is_written_explains_all(monkeypatch):
    from aligner.causes import trial

    tried, prove = [], trial.prove

    def watched(culprit, claim):
        proof = prove(culprit, claim)
        tried.append((claim.is_searched, proof is not None))
        return proof

    monkeypatch.setattr(trial, "prove", watched)
    sound, other = (
        Net(lambda m, x, s=slope: torch.nn.functional.leaky_relu(torch.conv2d(x, m.w), s), w=(4, 3, 3, 3))
        for slope in (0.1, 0.3)
    )
    found = causes(sound, other)
    assert [(one.id, one.evidence_class) for one in found] == [("activation-variant", "proven")]
    assert (False, True) in tried and (True, True) not in tried
