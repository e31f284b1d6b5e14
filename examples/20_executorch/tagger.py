"""A tagger of photos as it was trained, and as it was made into a program for phones."""

from __future__ import annotations

import torch
from torch import nn

PIXELS, TAGS = 24, 10


class Block(nn.Module):
    """A depthwise convolution, a norm, and two pointwise ones around a GELU."""

    def __init__(self, channels: int, approximate: str) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm, self.act = nn.BatchNorm2d(channels), nn.GELU(approximate)
        self.wide, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(self.act(self.wide(self.norm(self.depthwise(x)))))


class Tagger(nn.Module):
    """A stem, two blocks, the mean of all pixels, a score for each tag."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, stride=4)
        self.blocks = nn.Sequential(Block(16, approximate), Block(16, approximate))
        self.tags = nn.Linear(16, TAGS)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        return self.tags(self.blocks(self.stem(photo)).mean((2, 3)))


def tagger(approximate: str = "none") -> nn.Module:
    torch.manual_seed(0)
    made = Tagger(approximate).eval()
    with torch.no_grad():
        for block in made.blocks:  # as training leaves them: wider than they were drawn
            block.wide.weight *= 8
            block.narrow.weight *= 8
    return made
