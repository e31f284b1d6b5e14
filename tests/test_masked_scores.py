"""Faults in attention scores, beside numbers that stand for "masked"."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from aligner import compare  # noqa: E402
from aligner.diff.difference import difference  # noqa: E402
from aligner.records.difference import Unmasked  # noqa: E402

SIZE = 12


class Scores(torch.nn.Module):
    """Attention over one head; what is added to the scores is a mask and, below it, a bias by distance."""

    def __init__(self, scale: float = 0.35, masked: float = -1e9, slope: float = 0.0, share=None):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(8, 8, generator=generator))
        above = torch.zeros(SIZE, SIZE).masked_fill(torch.ones(SIZE, SIZE).triu(1) > 0, masked)
        self.register_buffer("mask", above + slope * torch.arange(SIZE).repeat(SIZE, 1).tril())
        self.scale, self.share = scale, share or torch.nn.Softmax(-1)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = (x @ self.weight) @ x.transpose(-1, -2)
        return self.share(scores * self.scale + self.mask) @ x


def tokens() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, SIZE, 8)).astype(np.float32)


@pytest.mark.parametrize("masked", [-1e4, -1e9, float(torch.finfo(torch.float32).min)])
def test_a_lost_scale_before_a_mask(masked):
    found = compare(Scores(masked=masked), Scores(scale=1.0, masked=masked), tokens())
    assert found.first_divergence.candidate.kind == "mul"
    assert found.causes[0].id in {"attention-scale", "constant-changed"}
    assert "precision-overflow" not in [cause.id for cause in found.causes]


@pytest.mark.parametrize("masked", [-1e4, -1e9])
def test_a_wrong_bias_beside_a_mask(masked):
    found = compare(Scores(masked=masked, slope=0.01), Scores(masked=masked, slope=0.02), tokens())
    assert found.verdict == "diverged" and found.first_divergence.candidate.kind == "add"


class Coded(torch.nn.Module):
    """Softmax of scores that went through eight bits, of a range that the mask sets."""

    def __init__(self, step: float):
        super().__init__()
        self.step = step

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.fake_quantize_per_tensor_affine(scores, self.step, 0, -128, 127), -1)


def test_scores_that_a_mask_takes_all_codes_from():
    found = compare(Scores(masked=-1e9), Scores(masked=-1e9, share=Coded(1e9 / 40)), tokens())
    assert found.verdict == "diverged" and "quantize" in found.first_divergence.candidate.op


@pytest.mark.parametrize("masked", [-1e4, -1e9])
def test_a_mask_alone_is_no_fault(masked):
    assert compare(Scores(masked=masked), Scores(masked=masked), tokens()).verdict == "aligned"


def test_the_error_beside_a_mask_is_measured_where_there_is_one():
    scores = np.array([0.5, -1e9, 2.0], np.float32)
    assert difference(scores, scores + np.array([0.25, 64, 0], np.float32)).unmasked == Unmasked(0.25, 2.0)
    assert difference(scores[::2], scores[::2]).unmasked is None
    large = np.array([-9e3, 4e3, 1.0], np.float32)
    assert difference(large, large).unmasked is None


@pytest.mark.parametrize("masked", [-np.inf, float(torch.finfo(torch.float32).min), -1e9])
def test_another_number_for_masked_is_no_fault(masked):
    for pair in [(masked, -1e4), (-1e4, masked)]:
        found = compare(*(Scores(masked=number) for number in pair), tokens())
        assert found.verdict == "aligned"
        assert any("masked by another number" in (each.note or "") for each in found.pairs)


def test_another_number_for_masked_is_no_fault_before_a_node_that_is_one():
    found = compare(Scores(), Scores(masked=float(torch.finfo(torch.float32).min), share=torch.nn.Sigmoid()), tokens())
    assert found.first_divergence.candidate.kind == "sigmoid"


def test_a_lost_mask_is_a_fault():
    found = compare(Scores(masked=-1e9), Scores(masked=-1.0), tokens())
    assert found.first_divergence.candidate.kind == "add"
    found = compare(Scores(masked=-np.inf), Scores(masked=-1.0), tokens())
    assert found.first_divergence.candidate.kind == "add"
