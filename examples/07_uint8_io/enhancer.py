"""A picture enhancer with everything inside: uint8 pixels in, normalisation, network, uint8 pixels out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Enhancer(nn.Module):
    """uint8 [N, H, W, 3] → uint8 [N, H - 4, W - 4, 3]; the last step rounds, or cuts off what follows the point."""

    def __init__(self, *, truncate: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3)
        self.conv2 = nn.Conv2d(12, 3, 3)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.truncate = truncate

    def normalise(self, x: Tensor) -> Tensor:
        return (x.permute(0, 3, 1, 2).to(torch.float32) / 255 - self.mean) / self.std

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv2(F.relu(self.conv1(self.normalise(pixels))))
        x = torch.sigmoid(x) * 255
        if not self.truncate:
            x = torch.round(x)
        return x.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class Folded(Enhancer):
    """The same function, mean and deviation folded into the first convolution (which may be: it does not pad)."""

    def fold(self) -> Folded:
        with torch.no_grad():
            weight = self.conv1.weight / (255 * self.std)
            self.conv1.bias -= (self.conv1.weight * (self.mean / self.std)).sum(dim=(1, 2, 3))
            self.conv1.weight.copy_(weight)
        return self

    def normalise(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2).to(torch.float32)


def enhancer() -> nn.Module:
    torch.manual_seed(0)
    return Enhancer().eval()


def truncating() -> nn.Module:
    torch.manual_seed(0)
    return Enhancer(truncate=True).eval()


def folded() -> nn.Module:
    torch.manual_seed(0)
    return Folded().fold().eval()
