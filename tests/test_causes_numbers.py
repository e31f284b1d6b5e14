"""Precision, what is not finite, dropout, outputs: causes that show in the numbers themselves."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

import aligner

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image, proven  # noqa: E402

F = torch.nn.functional
KERNEL = {"k": (4, 3, 3, 3)}


def run(reference, candidate, x=None, **shapes):
    return causes(Net(reference, **shapes), Net(candidate, **shapes), x)


def conv(n, x):
    return F.relu(F.conv2d(x, n.k))


def half(bits):
    """The result rounded to fewer bits without a cast that declares it (Veltkamp's splitting)."""

    def forward(n, x):
        y = F.conv2d(x, n.k)
        large = y * (2.0 ** (24 - bits) + 1)
        return F.relu(large - (large - y))

    return forward


def test_a_node_in_float16():
    found = run(conv, half(11), **KERNEL)
    assert found[0].id == "precision-fp16" and found[0].explained is not None


def test_a_node_in_bfloat16_is_not_called_float16():
    found = run(conv, half(8), **KERNEL)
    assert found[0].id == "precision-bf16" and found[0].explained is not None
    assert "precision-fp16" not in proven(found)


def test_float16_overflows():
    found = run(lambda n, x: x * 1e5, lambda n, x: (x * 1e5).half().float())
    assert found[0].id == "precision-overflow" and found[0].explained is not None


def test_small_numbers_do_not_overflow():
    found = run(lambda n, x: x * 10, lambda n, x: (x * 10).half().float())
    assert "precision-overflow" not in [f.id for f in found]


def test_a_logarithm_of_what_is_negative():
    found = run(lambda n, x: torch.log(x.abs()), lambda n, x: torch.log(x))
    assert found[0].id == "nonfinite-introduced"
    assert "NaN" in found[0].evidence


def test_a_limit_that_the_reference_does_not_have():
    found = run(
        lambda n, x: torch.cat([x * 1.5, torch.tanh(x)]),
        lambda n, x: torch.cat([(x * 1.5).clamp(-1, 1), torch.tanh(x)]),
    )
    assert proven(found) in (["saturation"], ["operation-extra"])  # one fault, told once
    assert "clamp" in found[0].evidence


def test_finite_and_unclipped_numbers_are_neither():
    found = run(lambda n, x: torch.tanh(x) * 2.0, lambda n, x: torch.tanh(x) * 4.0)
    assert not {"saturation", "nonfinite-introduced"} & {f.id for f in found}


class Dropping(torch.nn.Module):
    def __init__(self, *, active: bool):
        super().__init__()
        self.active = active
        self.eval()

    def forward(self, x):
        return F.dropout(torch.sigmoid(x), 0.3, self.active) * 2


def test_dropout_that_is_active():
    found = causes(Dropping(active=False), Dropping(active=True), image((2, 8, 9, 7)))
    assert found[0].id == "dropout-active", [(f.id, f.evidence) for f in found]
    assert found[0].explained is not None


def test_dropout_that_is_off():
    assert causes(Dropping(active=False), Dropping(active=False)) == []


def test_dropout_that_was_traced_active(tmp_path):
    torch.jit.trace(Dropping(active=True), torch.tensor(image()), check_trace=False).save(tmp_path / "traced.pt")
    first, *_ = aligner.compare(Dropping(active=False), tmp_path / "traced.pt", image()).causes
    assert (first.id, first.evidence_class) == ("dropout-active", "proven"), first


def test_zeros_of_an_activation_are_no_dropout():
    found = run(lambda n, x: torch.tanh(x), lambda n, x: F.relu(torch.tanh(x)) * 1.5)
    assert found[0].id == "operation-extra" and "dropout-active" not in [f.id for f in found]


def noisy(drawn_before):
    def forward(n, x):
        torch.rand(drawn_before)
        return torch.tanh(x + torch.randn_like(x))

    return forward


def test_noise_is_random():
    found = run(noisy(1), noisy(2))
    assert found[0].id == "random-op", found


def test_noise_that_one_side_adds_is_no_lost_skip_connection():
    first, *others = run(lambda n, x: torch.tanh(x), lambda n, x: torch.tanh(x) + 0.1 * torch.randn_like(x))
    assert (first.id, first.evidence_class) == ("random-op", "proven"), first
    assert "residual-missing" not in [found.id for found in others]


def test_the_same_noise_is_no_difference():
    assert run(noisy(1), noisy(1)) == []


class Pair(torch.nn.Module):
    def __init__(self, *names: str):
        super().__init__()
        self.names = names
        self.eval()

    def forward(self, x):
        made = {"a": torch.tanh(x), "b": torch.relu(x) * 3, "c": x[:, :1] - 1}
        return tuple(made[name] for name in self.names)


def test_outputs_in_another_order():
    assert causes(Pair("a", "b"), Pair("b", "a"))[0].id == "output-order"


def test_an_output_more():
    assert causes(Pair("a", "b"), Pair("a", "b", "c"))[0].id == "output-extra"


def test_the_same_outputs():
    assert causes(Pair("a", "b"), Pair("a", "b")) == []


def test_no_hypothesis_holds():
    found = run(lambda n, x: torch.sin(x * 3), lambda n, x: torch.sin(x.cumsum(3) / (x.abs() + 1)))
    assert all(f.explained is None for f in found)
    assert np.all([f.confidence < 0.7 for f in found])


CALLS = count()


class Racing(torch.nn.Module):
    """A kernel that adds in another order each time, as atomics do: its state is nobody's to restore."""

    def __init__(self, spread: float):
        super().__init__()
        self.spread = spread
        self.eval()

    def forward(self, x):
        return torch.tanh(torch.addcmul(x, x, x, value=self.spread * np.sin(next(CALLS))))


def test_a_kernel_that_disagrees_with_itself():
    found = causes(Racing(0.0), Racing(0.05))
    assert "nondeterministic-kernel" in [f.id for f in found], found
    finding = next(f for f in found if f.id == "nondeterministic-kernel")
    assert "addcmul" in finding.node
    assert "capture-artefact" not in [f.id for f in found]  # looking is not what changes it


def test_a_steady_kernel_is_not_called_nondeterministic():
    found = run(lambda n, x: torch.tanh(x), lambda n, x: torch.tanh(x * 1.1))
    assert "nondeterministic-kernel" not in [f.id for f in found]
