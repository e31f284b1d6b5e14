"""A classifier of Keras ported to PyTorch, weights and all: with the defaults of PyTorch's norm, and with Keras's."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

SIZE = 32
WIDTHS = (3, 8, 12)
KERAS_EPSILON = 1e-3


def weights() -> list[dict[str, np.ndarray]]:
    """What both frameworks hold of each block: kernel [3, 3, in, out], and the norm's four vectors.

    The second layer's channels have faded, as those of trained networks do: their variances are of ε's size.
    """
    random = np.random.default_rng(0)
    blocks = []
    for number, (ins, outs) in enumerate(itertools.pairwise(WIDTHS)):
        fade = 0.02 if number else 1.0
        block = {
            "kernel": fade * random.normal(size=(3, 3, ins, outs)) / np.sqrt(9 * ins),
            "gamma": random.uniform(0.5, 1.5, outs),
            "beta": 0.1 * random.normal(size=outs),
            "mean": 0.1 * fade * random.normal(size=outs),
            "variance": fade**2 * random.uniform(0.5, 2.0, outs),
        }
        blocks.append({name: array.astype(np.float32) for name, array in block.items()})
    return blocks


def head() -> tuple[np.ndarray, np.ndarray]:
    """Kernel [in, out] and bias of the last layer."""
    random = np.random.default_rng(1)
    return random.normal(size=(WIDTHS[-1], 5)).astype(np.float32), random.normal(size=5).astype(np.float32)


class Classifier(nn.Module):
    """[N, 3, 32, 32] → [N, 5]."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for block in weights():
            ins, outs = block["kernel"].shape[2:]
            conv, norm = nn.Conv2d(ins, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs, eps=epsilon)
            conv.weight.data = torch.from_numpy(block["kernel"].transpose(3, 2, 0, 1).copy())
            norm.weight.data, norm.bias.data = torch.from_numpy(block["gamma"]), torch.from_numpy(block["beta"])
            norm.running_mean, norm.running_var = torch.from_numpy(block["mean"]), torch.from_numpy(block["variance"])
            self.blocks.append(nn.Sequential(conv, norm, nn.ReLU()))
        kernel, bias = head()
        self.head = nn.Linear(*kernel.shape)
        self.head.weight.data, self.head.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def ported() -> nn.Module:
    """nn.BatchNorm2d as it comes: ε = 1e-5."""
    return Classifier(1e-5).eval()


def corrected() -> nn.Module:
    """With the ε that Keras adds."""
    return Classifier(KERAS_EPSILON).eval()
