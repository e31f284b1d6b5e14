"""--probe: what tracing froze shows on a second input, and only there."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net  # noqa: E402

import aligner  # noqa: E402

F = torch.nn.functional
X = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
SHAPES = {"k": (4, 3, 3, 3), "w": (5, 4)}


def conv(n, x):
    return F.conv2d(x, n.k, padding=1)


def branch(n, x):
    y = conv(n, x)
    return y * 2 if x.sum() > 0 else torch.tanh(y - 3)


def constant(n, x):
    y = conv(n, x)
    return F.relu(y / float(y.max()))


def batch(n, x):
    return F.linear(conv(n, x).mean((2, 3)).reshape(int(x.shape[0]), 4), n.w)


def loop_over_samples(n, x):
    return F.relu(torch.cat([row[None] * 2 for row in conv(n, x)]))


def size(n, x):
    return F.relu(F.interpolate(conv(n, x), size=(int(x.shape[2]) * 2, int(x.shape[3]) * 2)))


def padding(n, x):
    return F.relu(F.pad(conv(n, x), (0, 40 - int(x.shape[3]), 0, 40 - int(x.shape[2]))))


def pooled(n, x):
    return F.relu(F.avg_pool2d(conv(n, x), int(x.shape[2]) // 2))


def sound(n, x):
    return F.linear(F.relu(conv(n, x)).mean((2, 3)), n.w)


def probed(tmp_path, forward, x=X, trace=X):
    net = Net(forward, **SHAPES)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, torch.tensor(trace), check_trace=False).save(str(tmp_path / "traced.pt"))
    return aligner.compare(net, tmp_path / "traced.pt", x, probe=True)


CASES = {
    "a branch": ("trace-baked-branch", branch),
    "a number": ("trace-baked-constant", constant),
    "a batch": ("trace-baked-shape", batch),
    "a loop over the batch": ("trace-baked-shape", loop_over_samples),
    "a size": ("trace-baked-shape", size),
    "a padding": ("trace-baked-shape", padding),
    "a window": ("trace-baked-shape", pooled),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_traced_in_shows_on_a_second_input(tmp_path, name):
    identifier, forward = CASES[name]
    result = probed(tmp_path, forward)
    assert result.verdict == "diverged"
    assert "second input" in result.comparison.reason
    assert result.first_divergence is not None
    first = result.causes[0]
    assert (first.id, first.explained is not None) == (identifier, True), first


@pytest.mark.parametrize("name", ["a branch", "a number"])
def test_what_was_traced_in_with_another_input_shows_on_the_given_one(tmp_path, name):
    identifier, forward = CASES[name]
    result = probed(tmp_path, forward, x=-X)
    assert (result.causes[0].id, result.causes[0].explained is not None) == (identifier, True), result.causes


def arms(n, x):
    return F.linear(x, n.a) if x.sum() > 0 else F.linear(x, n.b)


@pytest.mark.parametrize("given", [1, -1])
def test_an_arm_that_other_signs_take_is_found_and_its_weights_are_no_forgotten_checkpoint(tmp_path, given):
    net, x = Net(arms, a=(5, 8), b=(5, 8)), np.abs(X)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, torch.tensor(x), check_trace=False).save(str(tmp_path / "traced.pt"))
    plain = aligner.compare(net, tmp_path / "traced.pt", given * x)
    assert [(one.id, one.evidence_class) for one in plain.causes] == [("trace-baked-branch", "proven")] * (given < 0)
    first = aligner.compare(net, tmp_path / "traced.pt", given * x, probe=True).causes[0]
    assert (first.id, first.evidence_class) == ("trace-baked-branch", "proven")


def test_a_sound_trace_says_the_same_on_every_input(tmp_path):
    result = probed(tmp_path, sound)
    assert (result.verdict, result.causes) == ("aligned", ())
    assert sum("says the same" in note for note in result.comparison.notes) == 3


def test_another_fault_stays_what_it_is():
    reference, candidate = Net(sound, **SHAPES), Net(lambda n, x: sound(n, x) * 1.1, **SHAPES)
    result = aligner.compare(reference, candidate, X, probe=True)
    assert not any(finding.id.startswith("trace-") for finding in result.causes), result.causes


def test_a_rounding_of_sizes_that_the_first_input_does_not_show_was_not_traced_in():
    nets = [Net(lambda n, x, up=up: F.max_pool2d(conv(n, x), 3, 3, ceil_mode=up), **SHAPES) for up in (True, False)]
    result = aligner.compare(*nets, X[:, :, :6, :6].copy(), probe=True)
    assert "second input" in result.comparison.reason
    assert not any(finding.id.startswith("trace-") for finding in result.causes), result.causes
