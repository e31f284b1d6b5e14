"""A decoder like Llama's (RMS norms, rotary positions, gated feed-forward): factories, and ONNX with external data.

python -m benchmarks.speed.decoder FOLDER tenth|half
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

WORDS, TOKENS, HEAD = 32_000, 128, 64
SIZES = {"tenth": (768, 8), "half": (1280, 18)}
"""Of a billion parameters, about → width and layers."""


class Norm(nn.Module):
    """x / rms(x), scaled."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Layer(nn.Module):
    """Attention over what came before, then a gated feed-forward."""

    def __init__(self, width: int):
        super().__init__()
        self.before, self.after = Norm(width), Norm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, 4 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        h = self.before(x)
        q, k, v = (part(h).view(1, TOKENS, -1, HEAD).transpose(1, 2) for part in (self.q, self.k, self.v))
        weights = (_turned(q, cos, sin) @ _turned(k, cos, sin).transpose(2, 3) * HEAD**-0.5 + mask).softmax(-1)
        x = x + self.o((weights @ v).transpose(1, 2).reshape(1, TOKENS, -1))
        h = self.after(x)
        return x + self.down(silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    """Token ids in, scores out; the embedding is the head's matrix, too."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.norm = Norm(width)
        turns = torch.outer(torch.arange(TOKENS), 10_000 ** (-torch.arange(0, HEAD, 2) / HEAD)).repeat(1, 2)
        self.register_buffer("cos", turns.cos())
        self.register_buffer("sin", turns.sin())
        self.register_buffer("mask", torch.full((TOKENS, TOKENS), -1e4).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x)
        for layer in self.layers:
            h = layer(h, self.cos, self.sin, self.mask)
        return linear(self.norm(h), self.words.weight)


def _made(size):
    torch.manual_seed(0)
    return Decoder(*SIZES[size]).eval()


def tenth():
    """0.1 B parameters, float32."""
    return _made("tenth")


def tenth_brain():
    """The same in bfloat16."""
    return tenth().bfloat16()


def half():
    """0.5 B parameters, float32."""
    return _made("half")


def half_brain():
    """The same in bfloat16."""
    return half().bfloat16()


def build(folder, size):
    """Write b.onnx with its weights beside it, and x.npy."""
    warnings.simplefilter("ignore")
    x = np.random.default_rng(0).integers(0, WORDS, (1, TOKENS))
    np.save(folder / "x.npy", x)
    with torch.no_grad():
        torch.onnx.export(
            _made(size),
            (torch.from_numpy(x),),
            str(folder / "whole.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=["x"],
        )
    model = onnx.load(folder / "whole.onnx")
    onnx.save(model, folder / "b.onnx", save_as_external_data=True, location="b.data")
    for file in set(folder.iterdir()) - {folder / name for name in ("b.onnx", "b.data", "x.npy")}:
        file.unlink()


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2])
