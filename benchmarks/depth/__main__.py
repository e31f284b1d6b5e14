"""Draw accumulated error, local error and bound along a fault-free network of many layers.

python -m benchmarks.depth [--layers 100] [--out docs/images/depth.png]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import nn

import aligner


class Block(nn.Module):
    """Self-attention with a residual sum; large logits make it ill-conditioned, as trained ones often are."""

    def __init__(self, width=32, heads=4, sharpness=4.0):
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.projection, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        with torch.no_grad():
            self.projection.weight.mul_(sharpness)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.projection(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(-1)
        return x + self.output((weights @ value).transpose(1, 2).reshape(batch, length, width))


def network(layers):
    """Seeded blocks, nothing wrong with any of them."""
    torch.manual_seed(0)
    return nn.Sequential(*[Block() for _ in range(layers)]).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, x = network(options.layers), torch.randn(1, 16, 32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.onnx"
        torch.onnx.export(model, (x,), path, dynamo=False, input_names=["input"])
        result = aligner.compare(model, path, {"input": x.numpy()})
    first = next((i for i, pair in enumerate(result.pairs) if pair.accumulated.max_abs > 1e-5), len(result.pairs))
    worst_local = max(pair.local.max_abs for pair in result.pairs)
    print(f"verdict {result.verdict}: {result.comparison.reason}")
    print(
        f"accumulated error passes 1e-5 at pair {first} of {len(result.pairs)}; largest local error {worst_local:.2g}"
    )
    if options.out:
        figure = result.plot()
        figure.savefig(options.out, dpi=110, bbox_inches="tight")
        print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
