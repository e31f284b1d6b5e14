"""A portrait matting network in the way of MODNet: a backbone, a low-resolution and a fusion branch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

SIZE = 64


class ConvNorm(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(),
        )


class Inverted(nn.Module):
    """MobileNetV2's inverted residual."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            ConvNorm(inputs, 2 * inputs, 1),
            ConvNorm(2 * inputs, 2 * inputs, 3, stride, groups=2 * inputs),
            nn.Conv2d(2 * inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Backbone(nn.Module):
    """Comes with weights of its own, from another file: the pretrained classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, 3, 2)
        self.stage1 = Inverted(8, 16, 2)
        self.stage2 = nn.Sequential(Inverted(16, 24, 2), Inverted(24, 24, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return x, self.stage2(self.stage1(x))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, channels // 4)
        self.up = nn.Linear(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.up(F.relu(self.down(x.mean(dim=(2, 3))))))
        return x * scale[:, :, None, None]


class LowResolution(nn.Module):
    """What is where, coarsely."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvNorm(24, 24, 3)
        self.excite = SqueezeExcite(24)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.excite(self.conv(x)), scale_factor=4.0, mode="bilinear", align_corners=False)


class Matting(nn.Module):
    """A portrait [N, 3, 64, 64] in -1..1 in, its matte [N, 1, 64, 64] out."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.lr_branch = LowResolution()
        self.fusion = nn.Sequential(ConvNorm(32, 16, 3), nn.Conv2d(16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.backbone(x)
        fused = torch.cat([self.lr_branch(coarse), fine], dim=1)
        return torch.sigmoid(F.interpolate(self.fusion(fused), scale_factor=2.0, mode="bilinear", align_corners=False))


def pretrained() -> Matting:
    """The network as its constructor leaves it: the backbone from its own file, the rest freshly initialised."""
    torch.manual_seed(7)
    network = Matting()
    network.backbone.load_state_dict(torch.load(Path(__file__).with_name("backbone.pth"), weights_only=True))
    return network.eval()


def matting() -> nn.Module:
    """The reference: the checkpoint's keys begin with "module.", as nn.DataParallel saved them, and are stripped."""
    network = pretrained()
    checkpoint = torch.load(Path(__file__).with_name("matting.ckpt"), weights_only=True)
    network.load_state_dict({key.removeprefix("module."): value for key, value in checkpoint.items()})
    return network
