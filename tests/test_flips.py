"""Roundings that flip: excused at the elements that lie by a boundary, and at no others."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_torch

import aligner

pytestmark = requires_torch


def stepped(step):
    """Half of what the step reads is a whole number, -2, which rounding moves over a boundary."""
    import torch

    class Stepped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear = torch.nn.Linear(16, 32)

        def forward(self, x):
            return step(torch.relu(self.linear(x)) * 3 - 2)

    return Stepped().eval()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("trunc", "floor"), ("floor", "round"), ("round", "floor"), ("floor", "ceil"), ("ceil", "trunc")],
)
def test_another_rounding_is_no_flip(right, wrong):
    import torch

    x = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    result = aligner.compare(stepped(getattr(torch, right)), stepped(getattr(torch, wrong)), [x])
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.op == wrong


def test_few_elements_of_another_rounding_are_no_flips():
    """Two in a thousand differ, which a share alone would excuse, and lie by no boundary."""
    import torch

    x = np.random.default_rng(0).integers(-9, 9, (64, 16)).astype(np.float32) + np.float32(0.25)
    x[:2, 0] += 0.5

    class Rounded(torch.nn.Module):
        def __init__(self, step):
            super().__init__()
            self.step = step

        def forward(self, x):
            return self.step(x)

    result = aligner.compare(Rounded(torch.floor), Rounded(torch.round), [x])
    assert result.verdict == "diverged"


def multiples(offset=0.0):
    """Multiples of a tenth, which times ten are no whole numbers in floats: where they fall is rounding."""
    tenths = np.random.default_rng(0).integers(-50, 50, (64, 16)) + offset
    return (tenths / 10).astype(np.float32)


def divided(written=None):
    """A division and its rounding in one kernel, or a product and a rounding apart."""
    import torch

    class Module(torch.nn.Module):
        def forward(self, x):
            return torch.div(x, 0.1, rounding_mode="floor") if written is None else written(x * 10)

    return Module().eval()


def test_what_lies_on_a_boundary_may_flip():
    import torch

    x, written = multiples(), divided(torch.floor)
    given = torch.from_numpy(x)
    assert int((divided()(given) != written(given)).sum()) > 100
    result = aligner.compare(divided(), written, [x])
    assert result.verdict == "aligned"


@pytest.mark.parametrize("wrong", ["trunc", "round", "ceil"])
def test_flips_at_boundaries_do_not_excuse_what_lies_between(wrong):
    import torch

    x = np.concatenate([multiples(), multiples(0.7)])
    result = aligner.compare(divided(), divided(getattr(torch, wrong)), [x])
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.op == wrong


@pytest.mark.parametrize("step", ["floor", "round"])
def test_flips_of_sums_in_another_order(step):
    import torch

    class Summed(torch.nn.Module):
        def __init__(self, *, last):
            super().__init__()
            self.last = last

        def forward(self, x):
            a, b, c = x.unbind(0)
            total = a + (b + c) if self.last else (a + b) + c
            return torch.floor(total) if step == "floor" else torch.round(total + 0.5)

    x = np.stack([np.random.default_rng(seed).integers(-50, 50, (64, 16)) / 10 for seed in range(3)]).astype(np.float32)
    sides = Summed(last=False).eval(), Summed(last=True).eval()
    given = torch.from_numpy(x)
    assert int((sides[0](given) != sides[1](given)).sum()) > 0
    assert aligner.compare(*sides, [x]).verdict == "aligned"
