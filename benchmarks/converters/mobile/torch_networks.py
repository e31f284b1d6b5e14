"""PyTorch networks drawn by seed in the manner of mobile architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name

Random = np.random.Generator
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh-gelu": lambda: nn.GELU(approximate="tanh"),
    "leaky": lambda: nn.LeakyReLU(0.1),
    "prelu": lambda: nn.PReLU(1),
    "elu": nn.ELU,
    "mish": nn.Mish,
    "hardsigmoid": nn.Hardsigmoid,
}


def _activation(rng: Random) -> nn.Module:
    names = [*ACTIVATIONS]
    return ACTIVATIONS[names[int(rng.integers(len(names)))]]()


class Sum(nn.Module):
    """What a module gives added to what it is fed."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Gate(nn.Module):
    def __init__(self, width: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width // 2, width, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.activation(self.reduce(x.mean((2, 3), keepdim=True)))))


class Branches(nn.Module):
    """Several ways, joined along the channels."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for way in self.ways:
            parts.append(way(x))
        return torch.cat(parts, 1)


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        batch, width, rows, columns = x.shape
        return x.view(batch, 2, width // 2, rows, columns).transpose(1, 2).reshape(batch, width, rows, columns)


class Halves(nn.Module):
    """One half of the channels gates the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(width, 2 * width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.wide(x).chunk(2, 1)
        return one * torch.sigmoid(other)


class ChannelNorm(nn.Module):
    """ConvNeXt's: a layer norm of the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Pixels(nn.Module):
    """Attention of all pixels, heads by reshaping."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, rows, columns = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        parts = self.qkv(self.norm(tokens)).reshape(batch, rows * columns, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        q, k, v = parts[0], parts[1], parts[2]
        seen = torch.softmax(q @ k.transpose(-2, -1) * (width // 2) ** -0.5, -1) @ v
        tokens = tokens + self.out(seen.transpose(1, 2).reshape(batch, rows * columns, width))
        return tokens.transpose(1, 2).reshape(batch, width, rows, columns)


class Resized(nn.Module):
    """Down and up again, and what was lost beside it."""

    def __init__(self, width: int, mode: str, corners: bool) -> None:
        super().__init__()
        self.down, self.mix = nn.Conv2d(width, width, 3, 2, 1), nn.Conv2d(2 * width, width, 1)
        self.mode, self.corners = mode, corners

    def forward(self, x: Tensor) -> Tensor:
        low = torch.relu(self.down(x))
        size = [x.shape[2], x.shape[3]]
        if self.mode == "bilinear":
            low = F.interpolate(low, size=size, mode="bilinear", align_corners=self.corners)
        else:
            low = F.interpolate(low, scale_factor=2.0, mode="nearest")
        return self.mix(torch.cat([x, low], 1))


class Transposed(nn.Module):
    def __init__(self, width: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.up = nn.ConvTranspose2d(2 * width, width, kernel, 2, padding)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(torch.relu(self.down(x)))


class Subpixels(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, 4 * width, 3, 2, 1), nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.up(torch.tanh(self.down(x)))


def normed(rng: Random, inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), _activation(rng))


def _separable(rng: Random, width: int) -> nn.Module:
    several = int(rng.integers(1, 3))
    depth = nn.Conv2d(width, several * width, int(rng.choice([3, 5])), padding="same", groups=width)
    return nn.Sequential(depth, _activation(rng), nn.Conv2d(several * width, width, 1), nn.BatchNorm2d(width))


def _inverted(rng: Random, width: int) -> nn.Module:
    wide = 3 * width
    return Sum(
        normed(rng, width, wide, 1),
        normed(rng, wide, wide, 3, groups=wide),
        Gate(wide, _activation(rng), [nn.Sigmoid(), nn.Hardsigmoid()][int(rng.integers(2))]),
        nn.Conv2d(wide, width, 1, bias=False),
        nn.BatchNorm2d(width),
    )


def _pooled(rng: Random, width: int) -> nn.Module:
    near = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(width, width // 2, 1))
    far = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=bool(rng.integers(2))), nn.Conv2d(width, width // 2, 1))
    return Branches(near, far)


def _dilated(rng: Random, width: int) -> nn.Module:
    half = width // 2
    ways = [nn.Conv2d(width, half, 3, padding=rate, dilation=rate) for rate in (1, 2, 3)]
    return nn.Sequential(Branches(*ways), nn.BatchNorm2d(3 * half), _activation(rng), nn.Conv2d(3 * half, width, 1))


def _mirrored(rng: Random, width: int) -> nn.Module:
    pad = [nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.ZeroPad2d((0, 2, 0, 2))][int(rng.choice([0, 2]))]
    norm = [nn.InstanceNorm2d(width, affine=True), nn.GroupNorm(2, width)][int(rng.integers(2))]
    return Sum(pad, nn.Conv2d(width, width, 3), norm, _activation(rng))


def _next(rng: Random, width: int) -> nn.Module:
    depth = nn.Conv2d(width, width, 7, padding=3, groups=width)
    return Sum(
        depth, ChannelNorm(width), nn.Conv2d(width, 2 * width, 1), _activation(rng), nn.Conv2d(2 * width, width, 1)
    )


_BLOCKS: tuple[Callable[[Random, int], nn.Module], ...] = (
    _separable,
    _inverted,
    _pooled,
    _dilated,
    _mirrored,
    _next,
    lambda rng, width: normed(rng, width, width, 3, groups=2),
    lambda rng, width: nn.Sequential(Shuffle(), normed(rng, width, width, 1)),
    lambda _, width: Halves(width),
    lambda _, width: Pixels(width),
    lambda rng, width: Resized(width, ["bilinear", "nearest"][int(rng.integers(2))], bool(rng.integers(2))),
    lambda rng, width: Transposed(width, *[(2, 0), (4, 1)][int(rng.integers(2))]),
    lambda _, width: Subpixels(width),
)


class Recurrent(nn.Module):
    """Rows of the picture read one after another."""

    def __init__(self, width: int, rows: int, cell: type[nn.Module]) -> None:
        super().__init__()
        self.cell, self.out = cell(width * rows, 12, batch_first=True), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, rows, columns = x.shape
        found, _ = self.cell(x.permute(0, 3, 1, 2).reshape(batch, columns, width * rows))
        return torch.log_softmax(self.out(found), -1)


class Boxes(nn.Module):
    """Two heads of a detector, flattened pixel by pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.boxes, self.scores = nn.Conv2d(width, 8, 3, padding=1), nn.Conv2d(width, 6, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        boxes = self.boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3)
        return torch.cat(
            [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1
        ), scores.softmax(-1)


def drawn(seed: int) -> tuple[nn.Module, Tensor]:
    """A network and a picture for it."""
    rng = np.random.default_rng([seed, 101])
    torch.manual_seed(seed)
    width, stride = int(rng.choice([8, 12, 16])), int(rng.integers(1, 3))
    rows, columns = (int(size) for size in rng.choice([16, 20, 24, 32], 2))
    parts: list[nn.Module] = [normed(rng, 3, width, int(rng.choice([3, 5])), stride)]
    for place in rng.permutation(len(_BLOCKS))[: int(rng.integers(3, 6))]:
        parts.append(_BLOCKS[int(place)](rng, width))
        if rng.random() < 0.3:
            parts.append(_activation(rng))
    head = int(rng.integers(5))
    if head == 0:
        parts += [nn.Conv2d(width, 4, 1), nn.Sigmoid()]
    elif head == 1:
        parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10), nn.Softmax(-1)]
    elif head == 2:
        parts += [
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(width * (rows // stride // 2) * (columns // stride // 2), 10),
        ]
    elif head == 3:
        parts += [Recurrent(width, rows // stride, [nn.LSTM, nn.GRU][int(rng.integers(2))])]
    else:
        parts += [Boxes(width)]
    image = torch.rand((1, 3, rows, columns), generator=torch.Generator().manual_seed(seed))
    return nn.Sequential(*parts).eval(), image
