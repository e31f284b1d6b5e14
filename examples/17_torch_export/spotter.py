"""A keyword spotter: a second of sound as 40 bands by 49 steps, one score for each of 12 words."""

from __future__ import annotations

import torch
from torch import nn

BANDS, STEPS, WORDS = 40, 49, 12


class Block(nn.Module):
    """A depthwise convolution, a pointwise one, a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(x))))


class Spotter(nn.Module):
    """A stem, two blocks, the mean over bands and steps, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, (4, 10), stride=2)
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.words = nn.Linear(16, WORDS)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        return self.words(self.blocks(torch.relu(self.stem(sound))).mean((2, 3)))


def training() -> Spotter:
    """As the training loop leaves it: in training mode, its norms' statistics gathered."""
    torch.manual_seed(0)
    model = Spotter()
    for _ in range(20):
        model(torch.randn(8, 1, BANDS, STEPS) * 2 + 1)
    return model


def spotter() -> Spotter:
    """The same for use."""
    return training().eval()
