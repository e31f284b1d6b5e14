"""The decoder of an autoencoder for pictures, in float and quantised by ``prepare_fx``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.ao.quantization import QConfigMapping, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

CODE = (1, 8, 8, 8)


class Decoder(nn.Module):
    """A convolution, twice as many pixels, and a tanh for the gate of a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.up = nn.Conv2d(8, 16, 3, padding=1), nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.paint = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        return self.paint(torch.tanh(self.up(torch.relu(self.body(code)))))


def decoder() -> nn.Module:
    torch.manual_seed(0)
    made = Decoder().eval()
    with torch.no_grad():
        made.up.weight *= 6
    return made


def codes(count: int) -> torch.Tensor:
    return torch.randn(count, *CODE[1:], generator=torch.Generator().manual_seed(count))


def _quantised(settings: QConfigMapping) -> Any:
    prepared = prepare_fx(decoder(), settings, (codes(1),))
    for _ in range(4):
        prepared(codes(16))
    return convert_fx(prepared)


def _settings() -> QConfigMapping:
    """The transposed convolution stays in float: PyTorch's of integers is not what its weights say."""
    return get_default_qconfig_mapping("x86").set_object_type(nn.ConvTranspose2d, None)


def quantised() -> Any:
    return _quantised(_settings())


def mended() -> Any:
    return _quantised(_settings().set_object_type(torch.tanh, None))
