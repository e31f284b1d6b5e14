"""A restorer of faces at the published size: a U-Net encoder that steers a StyleGAN2-like decoder, 512×512."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

SIZE = 512
_STYLE = 512
_SLOPE = 0.2
_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}
"""Channels of the decoder at each resolution; the encoder has half of them."""
_UPWARDS = tuple(_CHANNELS)[1:]


class ModulatedConv(nn.Module):
    """A convolution whose weights a style scales, brought back to unit norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, demodulate: bool = True, up: bool = False) -> None:
        super().__init__()
        self.outputs, self.kernel, self.demodulate, self.up = outputs, kernel, demodulate, up
        self.modulation = nn.Linear(_STYLE, inputs)
        nn.init.ones_(self.modulation.bias)
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W], ``style`` [N, STYLE] → [N, outputs, H or 2H, W or 2W]."""
        batch, channels, _, _ = x.shape
        weight = self.weight * self.modulation(style).view(batch, 1, channels, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(batch, self.outputs, 1, 1, 1)
        weight = weight.view(batch * self.outputs, channels, self.kernel, self.kernel)
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        _, _, height, width = x.shape
        x = F.conv2d(x.view(1, batch * channels, height, width), weight, padding=self.kernel // 2, groups=batch)
        return x.view(batch, self.outputs, height, width)


class StyleConv(nn.Module):
    """A modulated convolution, stored noise, bias, activation."""

    def __init__(self, inputs: int, outputs: int, size: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, up=up)
        self.strength = nn.Parameter(torch.full((1,), 0.05))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        out = self.conv(x, style) * 2**0.5
        out = out + self.strength * self.noise
        return F.leaky_relu(out + self.bias, _SLOPE)


class ToRGB(nn.Module):
    """Features to a picture, added to the picture of the resolution below."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, skip: Tensor) -> Tensor:
        return self.conv(x, style) + self.bias + F.interpolate(skip, scale_factor=2.0, mode="bilinear")


class ResBlock(nn.Module):
    """Two convolutions around a change of resolution, and a shortcut past them."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu(self.conv1(x), _SLOPE)
        out = F.interpolate(out, scale_factor=self.scale, mode="bilinear", align_corners=False)
        out = F.leaky_relu(self.conv2(out), _SLOPE)
        x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return out + self.skip(x)


class Restorer(nn.Module):
    """``x`` [N, 3, 512, 512] in [−1, 1] → the restored picture, the same shape."""

    def __init__(self) -> None:
        super().__init__()
        half = {size: channels // 2 for size, channels in _CHANNELS.items()}
        self.first = nn.Conv2d(3, half[SIZE], 1)
        downwards = tuple(reversed(_CHANNELS))
        pairs = list(itertools.pairwise(downwards))
        self.down = nn.ModuleList(ResBlock(half[a], half[b], 0.5) for a, b in pairs)
        self.last = nn.Conv2d(half[4], half[4], 3, 1, 1)
        self.up = nn.ModuleList(ResBlock(half[b], half[a], 2.0) for a, b in reversed(pairs))
        self.style = nn.Linear(half[4] * 16, _STYLE * 2 * len(_CHANNELS))
        self.scale = nn.ModuleList(nn.Conv2d(half[size], _CHANNELS[size] // 2, 3, 1, 1) for size in _UPWARDS)
        self.shift = nn.ModuleList(nn.Conv2d(half[size], _CHANNELS[size] // 2, 3, 1, 1) for size in _UPWARDS)
        self.constant = nn.Parameter(torch.randn(1, _CHANNELS[4], 4, 4))
        self.conv0 = StyleConv(_CHANNELS[4], _CHANNELS[4], 4)
        steps = list(zip(_CHANNELS, _UPWARDS, strict=False))
        self.convs_up = nn.ModuleList(StyleConv(_CHANNELS[a], _CHANNELS[b], b, up=True) for a, b in steps)
        self.convs = nn.ModuleList(StyleConv(_CHANNELS[b], _CHANNELS[b], b) for _, b in steps)
        self.rgb = nn.ModuleList(ToRGB(_CHANNELS[b]) for _, b in steps)

    def forward(self, x: Tensor) -> Tensor:
        feature = F.leaky_relu(self.first(x), _SLOPE)
        skips = []
        for block in self.down:
            skips.append(feature)
            feature = block(feature)
        feature = F.leaky_relu(self.last(feature), _SLOPE)
        styles = self.style(feature.flatten(1)).view(feature.shape[0], 2 * len(_CHANNELS), _STYLE)
        out = self.conv0(self.constant.repeat(feature.shape[0], 1, 1, 1), styles[:, 0])
        picture = F.interpolate(x, size=(4, 4), mode="bilinear", align_corners=False)
        for step, (up, conv, rgb) in enumerate(zip(self.convs_up, self.convs, self.rgb, strict=True)):
            feature = self.up[step](feature) + skips[-1 - step]
            out = up(out, styles[:, 2 * step + 1])
            plain, steered = torch.chunk(out, 2, dim=1)
            steered = steered * self.scale[step](feature) + self.shift[step](feature)
            out = conv(torch.cat([plain, steered], dim=1), styles[:, 2 * step + 2])
            picture = rgb(out, styles[:, 2 * step + 3 if 2 * step + 3 < 2 * len(_CHANNELS) else 0], picture)
        return picture
