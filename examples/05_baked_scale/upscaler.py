"""SRCNN behind an upscaling whose factor the user chooses at run time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it


class Upscaler(nn.Module):
    """A picture [N, 3, H, W] and a factor [1]: the picture, ``factor`` times as large, sharpened."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 9, padding=4)
        self.conv2 = nn.Conv2d(16, 8, 1)
        self.conv3 = nn.Conv2d(8, 3, 5, padding=2)

    def enlarge(self, x: Tensor, factor: Tensor) -> Tensor:
        # The mistake: item() gives a Python number, and a number is a constant in a trace.
        return F.interpolate(x, scale_factor=factor.item(), mode="bicubic", align_corners=False)

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:
        x = self.enlarge(x, factor)
        return self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))


class Enlarge(torch.autograd.Function):
    """Bicubic upscaling that exports as one Resize, its ``scales`` computed from an input of the graph."""

    @staticmethod
    def symbolic(g: Any, x: Any, factor: Any) -> Any:
        one = g.op("Constant", value_t=torch.ones(2))
        scales = g.op("Concat", one, factor, factor, axis_i=0)
        absent = g.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
        return g.op(
            "Resize", x, absent, scales,
            coordinate_transformation_mode_s="half_pixel", cubic_coeff_a_f=-0.75, mode_s="cubic",
        )  # fmt: skip

    @staticmethod
    def forward(_: Any, x: Tensor, factor: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=factor.item(), mode="bicubic", align_corners=False)


class Cured(Upscaler):
    """The same network; only its exported form differs."""

    def enlarge(self, x: Tensor, factor: Tensor) -> Tensor:
        return Enlarge.apply(x, factor)


def upscaler() -> nn.Module:
    torch.manual_seed(0)
    return Upscaler().eval()


def cured() -> nn.Module:
    torch.manual_seed(0)
    return Cured().eval()
