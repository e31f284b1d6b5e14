"""A last step that the candidate lost: its output answers an inner tensor, the reference's own answers nothing."""

from __future__ import annotations

import numpy as np
import pytest

import aligner

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402 - only where torch is there


class Ending(nn.Module):
    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.last = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 12)), last

    def forward(self, x):
        return self.last(self.body(x))


def same(x):
    return x


FEED = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)


@pytest.mark.parametrize("last", [lambda x: x * 1.5, lambda x: x + 0.1, lambda x: torch.softmax(x, -1)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_last_step_that_one_side_lacks_is_a_divergence(last, turned):
    whole, short = Ending(last).eval(), Ending(same).eval()
    result = aligner.compare(*((short, whole) if turned else (whole, short)), FEED)
    assert result.verdict == "diverged"


@pytest.mark.parametrize(
    "last", [lambda x: x.reshape(4, 3, 4), lambda x: x.clone(), lambda x: x.t(), lambda x: x.double()]
)
def test_a_last_step_that_changes_no_number_is_none(last):
    result = aligner.compare(Ending(last).eval(), Ending(same).eval(), FEED)
    assert result.verdict != "diverged"
