"""A segmentation network full of what exporters spell out: shape arithmetic, batch norms, hand-written GELUs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it


class Gelu(nn.Module):
    """GELU with tanh, written out as in the papers."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.uniform_(self.norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.drop = nn.Dropout(0.1)
        self.act = Gelu()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(self.norm(self.conv(x))))


class Segmenter(nn.Module):
    """[N, 3, H, W] → [N, 4, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = Stage(3, 12, 2)
        self.down2 = Stage(12, 16, 2)
        self.mix = nn.Linear(16, 16)
        self.up = Stage(28, 12, 1)
        self.head = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        coarse = self.down2(fine)
        n, c, h, w = coarse.shape
        tokens = coarse.view(n, c, h * w).transpose(1, 2)
        tokens = tokens / 4.0 + self.mix(tokens) / 2.0
        coarse = tokens.transpose(1, 2).reshape(n, c, h, w)
        coarse = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
        out = self.head(self.up(torch.cat([coarse, fine], dim=1)))
        return F.interpolate(out, size=x.shape[2:], mode="bilinear", align_corners=False)


def segmenter() -> nn.Module:
    torch.manual_seed(0)
    return Segmenter().eval()
