"""A ranking model, and a compiler of the server's own that computes norms in one pass over the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

FEATURES = 64


class Block(nn.Module):
    """A norm, two dense layers, a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.wide, self.narrow = nn.Linear(FEATURES, 128), nn.Linear(128, FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(torch.relu(self.wide(self.norm(x))))


class Ranker(nn.Module):
    """Counters and prices as they come, two blocks, a score for each candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.score = nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.score(self.norm(self.blocks(features)))


def one_pass(x: torch.Tensor, _: Any, weight: Any, bias: Any, eps: float) -> torch.Tensor:
    """The variance as the mean of squares less the square of the mean."""
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def two_passes(x: torch.Tensor, _: Any, weight: Any, bias: Any, eps: float) -> torch.Tensor:
    """The variance as the mean of squared distances."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps) * weight + bias


def backend(norm: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """A backend for torch.compile that puts a kernel of the server's own in the place of every layer norm."""

    def compiler(module: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        for node in module.graph.nodes:
            if node.target is nn.functional.layer_norm:
                node.target = norm
        module.recompile()
        return module.forward

    return compiler


def ranker() -> nn.Module:
    torch.manual_seed(0)
    return Ranker().eval()


def compiled() -> Any:
    return torch.compile(ranker(), backend=backend(one_pass))


def mended() -> Any:
    return torch.compile(ranker(), backend=backend(two_passes))
