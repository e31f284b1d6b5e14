"""Random networks with room for one step: what comes before it and after it is drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Domain = Literal["image", "tokens"]
Place = Literal["start", "middle", "end"]
_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (nn.ReLU, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.Tanh, nn.Hardswish)


@dataclass(frozen=True, slots=True)
class Size:
    """What the step reads: [1, channels, height, width], or [2, length, channels]."""

    channels: int
    height: int
    width: int
    length: int


class Step(nn.Module):
    """A function with parameters and modules of its own: the place of a fault."""

    def __init__(self, function: Callable[..., Tensor], **held: Tensor | nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, one in held.items():
            if isinstance(one, nn.Module):
                self.add_module(name, one)
            else:
                self.register_buffer(name, one)

    def forward(self, x: Tensor) -> Tensor:
        held = {**self._buffers, **self._modules}
        return self.function(x, **held)


class Network(nn.Module):
    """Layers, the step, layers."""

    def __init__(self, before: nn.Module, step: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.step, self.after = before, step, after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(self.step(self.before(x)))
        return out


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


class _Pooled(nn.Module):
    """A classifier's head for either domain."""

    def __init__(self, channels: int, image: bool) -> None:
        super().__init__()
        self.linear, self.image = nn.LazyLinear(channels), image

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.flatten(2).mean(2) if self.image else x.mean(1))
        return out


def size(draw: random.Random, *, square: bool) -> Size:
    """Sizes that differ from one another, but for height and width where the fault needs them equal."""
    height = draw.choice((12, 16))
    return Size(draw.choice((8, 24)), height, height if square else height + 2, draw.choice((9, 11)))


def given(domain: Domain, of: Size, place: Place, draw: random.Random) -> Tensor:
    """An input; at the start of a network the step reads it as it is."""
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    channels = of.channels if place == "start" or domain == "tokens" else 3
    shape = (1, channels, of.height, of.width) if domain == "image" else (2, of.length, channels)
    return torch.randn(shape, generator=generator)


def around(domain: Domain, of: Size, place: Place, draw: random.Random) -> tuple[nn.Module, nn.Module]:
    """What stands before and after the step; parameters are those of trained layers: of no initialiser's scale."""
    torch.manual_seed(draw.randrange(1 << 30))
    block = _image_block if domain == "image" else _token_block
    before: list[nn.Module] = []
    if place != "start":
        before = (
            [nn.Conv2d(3, of.channels, 3, padding=1)] if domain == "image" else [nn.Linear(of.channels, of.channels)]
        )
        before += [block(of.channels, draw) for _ in range(draw.randrange(3))]
    after: list[nn.Module] = []
    if place != "end":
        after = [nn.LazyConv2d(8, 3, padding=1) if domain == "image" else nn.LazyLinear(of.channels)]
        after += [block(8 if domain == "image" else of.channels, draw) for _ in range(draw.randrange(3))]
        after += [_Pooled(5, domain == "image")] if draw.random() < 0.5 else []
    return nn.Sequential(*before), nn.Sequential(*after)


def trained(network: nn.Module, draw: random.Random) -> None:
    """Parameters with tails that no initialiser draws, running statistics that no network starts with."""
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    for name, one in [*network.named_parameters(), *network.named_buffers()]:
        if not name.startswith(("before.", "after.")) or not one.is_floating_point():
            continue
        noise = torch.randn(one.shape, generator=generator)
        if name.endswith("running_var"):
            one.data = (0.3 * noise).exp()
        else:
            one.data = one.data + 0.1 * noise * (1 + noise.abs())


def _image_block(channels: int, draw: random.Random) -> nn.Module:
    groups = draw.choice((1, 1, channels))
    layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1, groups=groups)]
    layers += [nn.BatchNorm2d(channels)] if draw.random() < 0.5 else []
    layers += [draw.choice(_ACTIVATIONS)()] if draw.random() < 0.8 else []
    inner = nn.Sequential(*layers)
    return _Residual(inner) if draw.random() < 0.4 else inner


def _token_block(channels: int, draw: random.Random) -> nn.Module:
    layers: list[nn.Module] = [nn.LayerNorm(channels)] if draw.random() < 0.6 else []
    layers += [nn.Linear(channels, 2 * channels), draw.choice(_ACTIVATIONS)(), nn.Linear(2 * channels, channels)]
    inner = nn.Sequential(*layers)
    return _Residual(inner) if draw.random() < 0.6 else inner
