"""A restorer of faces in the way of GFPGAN: a U-Net whose features steer a StyleGAN2 decoder ("clean": no kernels)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

SIZE = 64
CHANNELS = {8: 32, 16: 24, 32: 16, 64: 8}
STYLE = 32


class ModulatedConv2d(nn.Module):
    """A convolution whose weights are scaled by a style, then brought back to unit norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, demodulate: bool, upsample: bool) -> None:
        super().__init__()
        self.outputs, self.kernel, self.demodulate, self.upsample = outputs, kernel, demodulate, upsample
        self.modulation = nn.Linear(STYLE, inputs)
        nn.init.ones_(self.modulation.bias)
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, channels, _, _ = x.shape
        weight = self.weight * self.modulation(style).view(batch, 1, channels, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(batch, self.outputs, 1, 1, 1)
        weight = weight.view(batch * self.outputs, channels, self.kernel, self.kernel)
        if self.upsample:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        height, width = x.shape[2], x.shape[3]
        x = F.conv2d(x.view(1, batch * channels, height, width), weight, padding=self.kernel // 2, groups=batch)
        return x.view(batch, self.outputs, height, width)


class StyleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, upsample: bool) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, outputs, 3, True, upsample)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return F.leaky_relu(self.modulated_conv(x, style) * 2**0.5 + self.bias, 0.2)


class ToRGB(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, 3, 1, False, False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.modulated_conv(x, style) + self.bias


class ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu(self.conv1(x), 0.2)
        out = F.interpolate(out, scale_factor=self.scale, mode="bilinear", align_corners=False)
        out = F.leaky_relu(self.conv2(out), 0.2)
        x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return out + self.skip(x)


class Level(nn.Module):
    """One resolution of the decoder: two style convolutions, the second steered by the encoder (SFT)."""

    def __init__(self, below: int, channels: int) -> None:
        super().__init__()
        self.condition_scale = nn.Conv2d(channels, channels // 2, 3, 1, 1)
        self.condition_shift = nn.Conv2d(channels, channels // 2, 3, 1, 1)
        self.style_conv1 = StyleConv(below, channels, True)
        self.style_conv2 = StyleConv(channels, channels, False)
        self.to_rgb = ToRGB(channels)

    def forward(self, out: Tensor, rgb: Tensor, style: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        out = self.style_conv1(out, style)
        kept, steered = torch.chunk(out, 2, dim=1)
        steered = steered * self.condition_scale(features) + self.condition_shift(features)
        out = self.style_conv2(torch.cat([kept, steered], dim=1), style)
        below = F.interpolate(rgb, scale_factor=2.0, mode="bilinear", align_corners=False)
        return out, self.to_rgb(out, style) + below


class Restorer(nn.Module):
    """A degraded face in; a restored one, and the pictures of every resolution out: [N, 3, 64, 64] in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        sizes = sorted(CHANNELS)
        base = CHANNELS[sizes[0]]
        steps = list(itertools.pairwise(sizes))
        self.conv_body_first = nn.Conv2d(3, CHANNELS[SIZE], 1)
        self.conv_body_down = nn.ModuleList(ResBlock(CHANNELS[b], CHANNELS[a], 0.5) for a, b in reversed(steps))
        self.final_conv = nn.Conv2d(base, base, 3, 1, 1)
        self.final_linear = nn.Linear(base, STYLE)
        self.conv_body_up = nn.ModuleList(ResBlock(CHANNELS[a], CHANNELS[b], 2.0) for a, b in steps)
        self.constant = nn.Parameter(torch.randn(1, base, sizes[0], sizes[0]))
        self.style_mlp = nn.Sequential(nn.Linear(STYLE, STYLE), nn.LeakyReLU(0.2), nn.Linear(STYLE, STYLE))
        self.first = StyleConv(base, base, False)
        self.first_rgb = ToRGB(base)
        self.levels = nn.ModuleList(Level(CHANNELS[a], CHANNELS[b]) for a, b in steps)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = F.leaky_relu(self.conv_body_first(x), 0.2)
        skips: list[Tensor] = []
        for down in self.conv_body_down:
            skips.append(features)
            features = down(features)
        features = F.leaky_relu(self.final_conv(features), 0.2)
        style = self.style_mlp(self.final_linear(features.mean(dim=[2, 3])))
        out = self.first(self.constant.repeat(x.shape[0], 1, 1, 1), style)
        rgb = self.first_rgb(out, style)
        rgbs = [rgb]
        for up, level in zip(self.conv_body_up, self.levels):  # noqa: B905 - TorchScript knows no strict
            features = up(features) + skips.pop()
            out, rgb = level(out, rgb, style, features)
            rgbs.append(rgb)
        return rgb, rgbs


class ImageOnly(nn.Module):
    """What the training repository's own inference returns."""

    def __init__(self, network: Restorer) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


def restorer() -> nn.Module:
    """The reference: the checkpoint loaded as it should be, from under ``params_ema``."""
    network = Restorer()
    checkpoint = torch.load(Path(__file__).with_name("restorer.pth"), weights_only=True)
    network.load_state_dict(checkpoint["params_ema"])
    return ImageOnly(network.eval())
