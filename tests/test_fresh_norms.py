"""Norms whose statistics were never trained do next to nothing: what a converter folded answers them all the same."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

nn = torch.nn


class Blocks(nn.Module):
    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList([nn.Conv2d(3 if place == 0 else 8, 8, 3, padding=1) for place in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(3)])
        self.activation, self.head = activation, nn.Linear(8, 4)

    def forward(self, x):
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = self.activation(norm(conv(x)))
            x = x + y if place else y
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    "activation", [nn.SiLU(), nn.PReLU(8), nn.Mish(), nn.ReLU()], ids=lambda one: type(one).__name__
)
def test_a_folded_norm_that_does_next_to_nothing(tmp_path, activation):
    module, x = Blocks(activation).eval(), torch.randn(1, 3, 8, 8)
    torch.onnx.export(module, (x,), tmp_path / "model.onnx", dynamo=False)
    result = aligner.compare(module, tmp_path / "model.onnx", inputs=x.numpy())
    assert result.verdict == "aligned", result.comparison.reason
    ends = {pair.candidate.name: pair.reference.op for pair in result.pairs}
    assert [ends[f"/convs.{place}/Conv_output_0"] for place in range(3)] == ["batch_norm"] * 3
