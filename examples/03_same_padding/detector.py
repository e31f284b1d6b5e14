"""The first layers of a detector trained in TensorFlow, ported to PyTorch twice: with the wrong padding, and right."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

SIZE = 224
KERNEL = 5
CHANNELS = (3, 8, 16)


def weights() -> list[tuple[np.ndarray, np.ndarray]]:
    """The kernels [height, width, in, out] and biases of both convolutions: what both frameworks hold."""
    random = np.random.default_rng(0)
    layers = []
    for inputs, outputs in itertools.pairwise(CHANNELS):
        kernel = random.standard_normal((KERNEL, KERNEL, inputs, outputs)) * (2 / (KERNEL**2 * inputs)) ** 0.5
        layers.append((kernel.astype(np.float32), (0.1 * random.standard_normal(outputs)).astype(np.float32)))
    return layers


class SamePadding(nn.Module):
    """TensorFlow's SAME: as many zeros as ceil(size / stride) outputs need, the odd one at the bottom and right."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads)


class Detector(nn.Module):
    """[N, 3, 224, 224] → [N, 16, 56, 56]."""

    def __init__(self, *, same: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (kernel, bias), inputs, outputs in zip(weights(), CHANNELS, CHANNELS[1:], strict=False):
            conv = nn.Conv2d(inputs, outputs, KERNEL, stride=2, padding=0 if same else KERNEL // 2)
            conv.load_state_dict(
                {"weight": torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), "bias": torch.from_numpy(bias)}
            )
            layers += [SamePadding(KERNEL, 2), conv, nn.ReLU()] if same else [conv, nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def symmetric() -> nn.Module:
    """The port as everybody writes it first: padding = kernel // 2 gives the right shapes."""
    return Detector(same=False).eval()


def asymmetric() -> nn.Module:
    """The port that pads as TensorFlow does."""
    return Detector(same=True).eval()
