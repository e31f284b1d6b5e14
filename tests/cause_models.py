"""Small networks with one thing wrong, and the causes that a comparison names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import aligner
from aligner.records.comparison import Finding

Forward = Callable[..., torch.Tensor]
IMAGE = (2, 3, 9, 7)


class Net(nn.Module):
    """A function of an input and of named parameters; equal seeds give equal parameters."""

    def __init__(self, forward: Forward, seed: int = 0, **shapes: tuple[int, ...]):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, shape in shapes.items():
            # heavier tails than any initialiser draws, as trained weights have
            values = torch.randn(shape, generator=generator) * 0.3
            self.register_parameter(name, nn.Parameter(values * (1 + values.abs())))
        self.function = forward
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def image(shape: tuple[int, ...] = IMAGE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def causes(reference: nn.Module, candidate: nn.Module, x: np.ndarray | None = None) -> list[Finding]:
    return list(aligner.compare(reference, candidate, image() if x is None else x).causes)


def edited(net: Net, **changes: Callable[[torch.Tensor], torch.Tensor]) -> Net:
    """A copy with some of its parameters changed."""
    import copy

    other = copy.deepcopy(net)
    for name, change in changes.items():
        part = other
        *path, last = name.split("__")
        for step in path:
            part = getattr(part, step)
        old = getattr(part, last)
        with torch.no_grad():
            new = change(old.detach().clone())
        if isinstance(old, nn.Parameter):
            setattr(part, last, nn.Parameter(new))
        else:
            setattr(part, last, new)
    return other


def proven(found: list[Finding]) -> list[str]:
    return [finding.id for finding in found if finding.explained is not None]
