"""The small network that the plugin's tests export, well and badly; also written beside the tests they run."""

from __future__ import annotations

import torch


class Network(torch.nn.Module):
    """``mute`` hides whatever goes wrong before the last layer from the output."""

    def __init__(self, mute: bool = False, noisy: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.head = torch.nn.Linear(4, 2)
        self.noisy = noisy
        if mute:
            self.head.weight.data[:, 0] = 0

    def forward(self, x):
        if self.noisy:
            x = x + torch.rand_like(x)
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def build(**options):
    """The network as it should be."""
    return Network(**options).eval()


def broken(layer="head", **options):
    """The network with one weight, in the first channel of a layer, that is not what it should be."""
    network = build(**options)
    getattr(network, layer).weight.data[0] += 0.1
    return network
