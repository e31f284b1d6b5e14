"""Places that differ where what stands there does not: the order of equals is the runtime's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner
from aligner.execution.ties import are_tied
from aligner.operations.settings.picks import ArgMax, Sort

_SCORES = np.array([[3.0, 1.0, 3.0, 2.0, 3.0, 1.0]], np.float32)
_SORT = Sort(axis=1, largest=True, count=3)


@pytest.mark.parametrize(
    ("found", "tied"),
    [([[4, 0, 2]], True), ([[0, 2, 3]], False), ([[2, 2, 0]], False), ([[0, 2, 6]], False), ([[0, 2, -1]], False)],
    ids=["others", "another number", "one twice", "beyond the end", "before the start"],
)
def test_places_of_equals(found: list[list[int]], tied: bool) -> None:
    assert are_tied(_SCORES, np.array([[0, 2, 4]]), np.array(found), _SORT) is tied


def test_rounding_apart_counts_as_equal() -> None:
    scores = _SCORES.copy()
    scores[0, 2] = np.nextafter(np.float32(3), np.float32(4))
    largest = ArgMax(axis=1, largest=True, keep=False)
    assert are_tied(scores, np.array([2]), np.array([0]), largest)
    scores[0, 2] *= np.float32(1.0001)
    assert not are_tied(scores, np.array([2]), np.array([0]), largest)


def _exported(folder: Path, *, smallest: bool = False) -> tuple[Path, Path, np.ndarray]:
    """A chooser of the best of many equals, traced and as ONNX."""
    import torch
    from torch import nn

    class Chooser(nn.Module):
        def __init__(self, largest: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.boxes, self.largest = nn.Linear(6, 4), largest

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = torch.relu(x[..., 0] - 2.0)
            places = torch.topk(scores, 6, dim=1, largest=self.largest)[1]
            return torch.sigmoid(self.boxes(x)).gather(1, places.unsqueeze(-1).expand(-1, -1, 4))

    x = np.random.default_rng(0).standard_normal((1, 84, 6)).astype(np.float32)
    x[0, 5:8, 0] += 4
    model, given = folder / "m.pt", torch.from_numpy(x)
    torch.jit.save(torch.jit.trace(Chooser(True).eval(), given), str(model))
    target = folder / "m.onnx"
    torch.onnx.export(Chooser(not smallest).eval(), (given,), str(target), dynamo=False)
    return model, target, x


@requires_torch
@requires_onnx
@pytest.mark.filterwarnings("ignore")
def test_other_equals_are_no_fault(tmp_path: Path) -> None:
    model, target, x = _exported(tmp_path)
    result = aligner.compare(model, target, x)
    assert result.verdict == "aligned"
    assert any(pair.verdict_rule == "ties" for pair in result.pairs)
    assert "among equals" in result.to_json()["reason"]
    assert not result.causes


@requires_torch
@requires_onnx
@pytest.mark.filterwarnings("ignore")
def test_the_smallest_instead_of_the_largest_is(tmp_path: Path) -> None:
    model, target, x = _exported(tmp_path, smallest=True)
    result = aligner.compare(model, target, x)
    assert result.verdict == "diverged"
    assert result.first_divergence is not None
    assert "TopK" in result.first_divergence.candidate.op
