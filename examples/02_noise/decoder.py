"""A StyleGAN2-like decoder that draws fresh noise at every call, as the published ones do at inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

CODE = 32
SIZES = (8, 16, 32)
CHANNELS = (24, 16, 8)


class StyleConv(nn.Module):
    """A convolution scaled by the code, noise, bias, activation; ``frozen`` noise is a buffer and never drawn again."""

    def __init__(self, inputs: int, outputs: int, size: int, frozen: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.style = nn.Linear(CODE, inputs)
        self.noise_strength = nn.Parameter(torch.full((1,), 0.3))
        self.register_buffer("noise", torch.randn(1, 1, size, size), persistent=False)
        self.frozen = frozen

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        out = self.conv(x * self.style(code)[:, :, None, None])
        batch, _, height, width = out.shape
        noise = self.noise if self.frozen else out.new_empty(batch, 1, height, width).normal_()
        return F.leaky_relu(out + self.noise_strength * noise, 0.2)


class Decoder(nn.Module):
    """A code [N, 32] in, a picture [N, 3, 32, 32] out."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, CHANNELS[0], SIZES[0], SIZES[0]))
        inputs = (CHANNELS[0], *CHANNELS[:-1])
        self.layers = nn.ModuleList(
            StyleConv(i, o, size, frozen) for i, o, size in zip(inputs, CHANNELS, SIZES, strict=True)
        )
        self.to_rgb = nn.Conv2d(CHANNELS[-1], 3, 1)

    def forward(self, code: Tensor) -> Tensor:
        out = self.constant.expand(code.shape[0], -1, -1, -1)
        for index, layer in enumerate(self.layers):
            if index:
                out = F.interpolate(out, scale_factor=2.0, mode="nearest")
            out = layer(out, code)
        return self.to_rgb(out)


def noisy() -> nn.Module:
    torch.manual_seed(0)
    return Decoder(frozen=False).eval()


def frozen() -> nn.Module:
    torch.manual_seed(0)
    return Decoder(frozen=True).eval()
