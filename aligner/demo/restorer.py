"""The demo's network: a small restorer of faces, a U-Net whose features steer a StyleGAN2-like decoder.

The architecture follows the published GFPGAN ("clean" form: no custom kernels), at a size that runs anywhere.
"""

from __future__ import annotations

import itertools
import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

FOLDER = Path(__file__).parent
CHECKPOINT = FOLDER / "restorer.pth"
SIZE = 96
CHANNELS = {12: 24, 24: 20, 48: 14, 96: 10}
"""Channels at each resolution."""
STYLE = 32
_BASE = min(CHANNELS)
_UPWARDS = tuple(size for size in CHANNELS if size != _BASE)
_SLOPE = 0.2


class ModulatedConv2d(nn.Module):
    """A convolution whose weights are scaled by a style, then brought back to unit norm (demodulation)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.kernel = kernel
        self.demodulate = demodulate
        self.upsample = upsample
        self.modulation = nn.Linear(STYLE, inputs)
        nn.init.ones_(self.modulation.bias)
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W], ``style`` [N, STYLE] → [N, outputs, H or 2H, W or 2W]."""
        batch, channels, _, _ = x.shape
        weight = self.weight * self.modulation(style).view(batch, 1, channels, 1, 1)
        if self.demodulate:
            demodulation = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
            weight = weight * demodulation.view(batch, self.outputs, 1, 1, 1)
        weight = weight.view(batch * self.outputs, channels, self.kernel, self.kernel)
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        _, _, height, width = x.shape
        # One group for each sample: every sample has weights of its own.
        x = F.conv2d(x.view(1, batch * channels, height, width), weight, padding=self.kernel // 2, groups=batch)
        return x.view(batch, self.outputs, height, width)


class StyleConv(nn.Module):
    """A modulated convolution, noise, bias, activation."""

    def __init__(self, inputs: int, outputs: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, outputs, 3, upsample=upsample)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.activate = nn.LeakyReLU(_SLOPE, inplace=True)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        out = self.modulated_conv(x, style) * 2**0.5
        out = out + self.noise_strength * noise
        out = out + self.bias
        return self.activate(out)


class ToRGB(nn.Module):
    """Features to a picture, added to the upsampled picture of the resolution below."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None) -> Tensor:
        out = self.modulated_conv(x, style) + self.bias
        if skip is not None:
            out = out + F.interpolate(skip, scale_factor=2, mode="bilinear", align_corners=False)
        return out


class ResBlock(nn.Module):
    """Two convolutions around a change of resolution, and a shortcut past them."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu_(self.conv1(x), negative_slope=_SLOPE)
        out = F.interpolate(out, scale_factor=self.scale, mode="bilinear", align_corners=False)
        out = F.leaky_relu_(self.conv2(out), negative_slope=_SLOPE)
        x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return out + self.skip(x)


class StyleDecoder(nn.Module):
    """A constant grown to a picture under a style; half of its channels are steered by the encoder's features (SFT)."""

    def __init__(self) -> None:
        super().__init__()
        self.style_mlp = nn.Sequential(
            nn.Linear(STYLE, STYLE), nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Linear(STYLE, STYLE), nn.LeakyReLU(_SLOPE, inplace=True),
        )  # fmt: skip
        base = CHANNELS[_BASE]
        self.constant_input = nn.Parameter(torch.randn(1, base, _BASE, _BASE))
        self.style_conv1 = StyleConv(base, base)
        self.to_rgb1 = ToRGB(base)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        below = base
        for size in _UPWARDS:
            channels = CHANNELS[size]
            self.style_convs.append(StyleConv(below, channels, upsample=True))
            self.style_convs.append(StyleConv(channels, channels))
            self.to_rgbs.append(ToRGB(channels))
            below = channels
        self._fix_noise()

    def _fix_noise(self) -> None:
        """One fixed picture of noise for each style convolution: the same in every copy, so not in the checkpoint."""
        generator = torch.Generator().manual_seed(2021)
        sizes = [_BASE, *(size for size in _UPWARDS for _ in range(2))]
        for index, size in enumerate(sizes):
            noise = torch.randn(1, 1, size, size, generator=generator)
            self.register_buffer(f"noise{index}", noise, persistent=False)

    def _noise(self, index: int) -> Tensor:
        return self.get_buffer(f"noise{index}")

    def forward(self, code: Tensor, conditions: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """``code`` [N, STYLE], one (scale, shift) for each resolution above the lowest → picture, pictures below it."""
        code = code * torch.rsqrt(torch.mean(code**2, dim=1, keepdim=True) + 1e-8)
        style = self.style_mlp(code)
        out = self.constant_input.repeat(code.shape[0], 1, 1, 1)
        out = self.style_conv1(out, style, self._noise(0))
        skip = self.to_rgb1(out, style, None)
        rgbs = [skip]
        for level, (scale, shift) in enumerate(conditions):
            out = self.style_convs[2 * level](out, style, self._noise(2 * level + 1))
            kept, steered = torch.split(out, [out.size(1) - scale.size(1), scale.size(1)], dim=1)
            out = torch.cat([kept, steered * scale + shift], dim=1)
            out = self.style_convs[2 * level + 1](out, style, self._noise(2 * level + 2))
            skip = self.to_rgbs[level](out, style, skip)
            rgbs.append(skip)
        return skip, rgbs


class Restorer(nn.Module):
    """A degraded face in, a restored one out: [N, 3, 96, 96] in 0..1, both ways."""

    def __init__(self) -> None:
        super().__init__()
        sizes = sorted(CHANNELS)
        downwards = sizes[::-1]
        self.conv_body_first = nn.Conv2d(3, CHANNELS[SIZE], 1)
        self.conv_body_down = nn.ModuleList(
            ResBlock(CHANNELS[above], CHANNELS[below], 0.5) for above, below in itertools.pairwise(downwards)
        )
        self.final_conv = nn.Conv2d(CHANNELS[_BASE], CHANNELS[_BASE], 3, 1, 1)
        self.final_linear = nn.Linear(CHANNELS[_BASE], STYLE)
        self.conv_body_up = nn.ModuleList(
            ResBlock(CHANNELS[below], CHANNELS[above], 2.0) for below, above in itertools.pairwise(sizes)
        )
        self.condition_scale = nn.ModuleList(_condition(CHANNELS[size], bias=1.0) for size in _UPWARDS)
        self.condition_shift = nn.ModuleList(_condition(CHANNELS[size], bias=0.0) for size in _UPWARDS)
        self.stylegan_decoder = StyleDecoder()

    def forward(self, x: Tensor, return_rgb: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Restore; with ``return_rgb`` also the pictures of every resolution, lowest first."""
        features = F.leaky_relu_(self.conv_body_first(x * 2 - 1), negative_slope=_SLOPE)
        skips = []
        for down in self.conv_body_down:
            skips.append(features)
            features = down(features)
        features = F.leaky_relu_(self.final_conv(features), negative_slope=_SLOPE)
        code = self.final_linear(features.mean(dim=(2, 3)))
        conditions = []
        for up, scale, shift in zip(self.conv_body_up, self.condition_scale, self.condition_shift, strict=True):
            features = up(features) + skips.pop()
            conditions.append((scale(features), shift(features)))
        image, rgbs = self.stylegan_decoder(code, conditions)
        image = image * 0.5 + 0.5
        return (image, rgbs) if return_rgb else image


def _condition(channels: int, *, bias: float) -> nn.Sequential:
    last = nn.Conv2d(channels, channels // 2, 1)
    nn.init.constant_(last.bias, bias)
    return nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(_SLOPE, inplace=True), last)


def trained() -> nn.Module:
    """The restorer with its checkpoint, loaded as it should be: from under ``params_ema``."""
    model = untrained()
    checkpoint = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint["params_ema"])
    return model


def untrained(seed: int = 0) -> nn.Module:
    """The restorer as it is initialised, in eval mode; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Restorer().eval()


def export_candidate(path: Path) -> None:
    """Write the ONNX file of somebody who made the classic mistake: it holds none of the checkpoint's weights.

    The exporter is the TorchScript-based one, which needs torch alone.
    """
    model = untrained()
    checkpoint = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)
    # The mistake: the weights are one level down, so no key matches, and strict=False keeps quiet about it.
    model.load_state_dict(checkpoint, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 3, SIZE, SIZE),), str(path),
            input_names=["image"], output_names=["restored"], opset_version=17, dynamo=False,
        )  # fmt: skip
