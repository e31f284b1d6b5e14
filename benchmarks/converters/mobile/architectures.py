"""Whole mobile architectures drawn by seed, small: what people hand to onnx2tf."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name

from benchmarks.converters.mobile.torch_networks import Gate, Sum, normed

Random = np.random.Generator
Drawn = tuple[nn.Module, tuple[int, ...]]
"""A network and the shape of its input."""


def _block(
    inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), act or nn.ReLU6())


def _classifier(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def mobilenet_v1(rng: Random) -> Drawn:
    parts: list[nn.Module] = [_block(3, 8, 3, 2)]
    for stride, width in zip((1, 2, 1), (8, 16, 16), strict=True):
        last = parts[-1][0].out_channels  # type: ignore[index, union-attr]
        parts += [_block(last, last, 3, stride, last), _block(last, width, 1)]
    return nn.Sequential(*parts, *_classifier(16), nn.Softmax(-1)), (1, 3, 32, int(rng.choice([32, 24])))


def mobilenet_v3(rng: Random) -> Drawn:
    parts: list[nn.Module] = [_block(3, 16, 3, 2, act=nn.Hardswish())]
    for kernel in (3, 5):
        act: type[nn.Module] = [nn.ReLU, nn.Hardswish][int(rng.integers(2))]
        gate = Gate(32, nn.ReLU(), nn.Hardsigmoid())
        parts.append(
            Sum(
                _block(16, 32, 1, act=act()),
                _block(32, 32, kernel, groups=32, act=act()),
                gate,
                nn.Conv2d(32, 16, 1, bias=False),
                nn.BatchNorm2d(16),
            )
        )
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 20), nn.Hardswish(), nn.Linear(20, 7)]
    return nn.Sequential(*parts, *tail), (1, 3, 28, 36)


def efficientnet_lite(rng: Random) -> Drawn:
    parts: list[nn.Module] = [_block(3, 8, 3, 2)]
    for _ in range(int(rng.integers(2, 4))):
        parts.append(
            Sum(
                _block(8, 24, 1),
                _block(24, 24, int(rng.choice([3, 5])), groups=24),
                nn.Conv2d(24, 8, 1, bias=False),
                nn.BatchNorm2d(8),
            )
        )
    return nn.Sequential(*parts, _block(8, 24, 1), *_classifier(24)), (1, 3, 32, 32)


class UNet(nn.Module):
    def __init__(self, deconvolved: bool, pooled: bool) -> None:
        super().__init__()
        self.one, self.two = _block(3, 8, 3, act=nn.ReLU()), _block(8, 16, 3, 1 if pooled else 2, act=nn.ReLU())
        self.low = _block(16, 16, 3, act=nn.ReLU())
        self.down: nn.Module = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.up: nn.Module = (
            nn.ConvTranspose2d(16, 8, 2, 2)
            if deconvolved
            else nn.Sequential(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False), nn.Conv2d(16, 8, 1))
        )
        self.mix, self.out = _block(16, 8, 3, act=nn.ReLU()), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.one(x)
        coarse = self.low(self.two(self.down(fine)))
        return torch.sigmoid(self.out(self.mix(torch.cat([self.up(coarse), fine], 1))))


def unet(rng: Random) -> Drawn:
    return UNet(bool(rng.integers(2)), bool(rng.integers(2))), (1, 3, 24, 32)


class Blaze(nn.Module):
    """A unit that pads the channels of what it is added to."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.depth, self.point = (
            nn.Conv2d(inner, inner, 3, stride, 0 if stride == 2 else 1, groups=inner),
            nn.Conv2d(inner, outer, 1),
        )
        self.stride, self.more = stride, outer - inner

    def forward(self, x: Tensor) -> Tensor:
        beside = x
        if self.stride == 2:
            x = F.pad(x, (0, 2, 0, 2))
            beside = F.max_pool2d(beside, 2)
        if self.more:
            beside = F.pad(beside, (0, 0, 0, 0, 0, self.more))
        return torch.relu(self.point(self.depth(x)) + beside)


class BlazeFace(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, 2)
        self.fine = nn.Sequential(Blaze(8, 8, 1), Blaze(8, widths[0], 2))
        self.coarse = nn.Sequential(Blaze(widths[0], widths[1], 2), Blaze(widths[1], widths[1], 1))
        self.scores = nn.ModuleList([nn.Conv2d(widths[0], 2, 1), nn.Conv2d(widths[1], 6, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(widths[0], 8, 1), nn.Conv2d(widths[1], 24, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(torch.relu(self.stem(F.pad(x, (1, 2, 1, 2)))))
        coarse = self.coarse(fine)
        boxes = [self.boxes[0](fine), self.boxes[1](coarse)]
        scores = [self.scores[0](fine), self.scores[1](coarse)]
        return _anchors(boxes, 4), _anchors(scores, 1)


def _anchors(maps: list[Tensor], size: int) -> Tensor:
    return torch.cat([each.permute(0, 2, 3, 1).reshape(each.shape[0], -1, size) for each in maps], 1)


def blazeface(rng: Random) -> Drawn:
    return BlazeFace([int(rng.choice([12, 16])), int(rng.choice([16, 24]))]), (1, 3, 32, 32)


class Ssd(nn.Module):
    """Heads on three maps, boxes decoded against priors."""

    def __init__(self, decoded: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_block(3, 12, 3, 2), _block(12, 16, 3, 2), _block(16, 16, 3, 2)])
        self.boxes = nn.ModuleList([nn.Conv2d(width, 8, 3, padding=1) for width in (12, 16, 16)])
        self.scores = nn.ModuleList([nn.Conv2d(width, 6, 3, padding=1) for width in (12, 16, 16)])
        self.decoded = decoded
        self.register_buffer("priors", torch.rand(2 * (256 + 64 + 16), 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = [], []
        for stage, box, score in zip(self.stages, self.boxes, self.scores, strict=True):
            x = stage(x)
            boxes.append(box(x))
            scores.append(score(x))
        found = _anchors(boxes, 4)
        if self.decoded:
            centre = self.priors[:, :2] + 0.1 * found[..., :2] * self.priors[:, 2:]
            size = self.priors[:, 2:] * torch.exp(0.2 * found[..., 2:])
            found = torch.cat([centre - size / 2, centre + size / 2], -1)
        return found, _anchors(scores, 3).softmax(-1)


def ssd(rng: Random) -> Drawn:
    return Ssd(bool(rng.integers(2))), (1, 3, 32, 32)


class Encoder(nn.Module):
    """A transformer's layer on tokens; heads by reshaping or by einsum."""

    def __init__(self, width: int, by_einsum: bool) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.by_einsum = by_einsum

    def forward(self, x: Tensor) -> Tensor:
        normed_ = self.before(x)
        batch, steps, width = x.shape
        q = self.q(normed_).view(batch, steps, 2, width // 2)
        k = self.k(normed_).view(batch, steps, 2, width // 2)
        v = self.v(normed_).view(batch, steps, 2, width // 2)
        if self.by_einsum:
            seen = torch.softmax(torch.einsum("bihd,bjhd->bhij", q, k) * (width // 2) ** -0.5, -1)
            mixed = torch.einsum("bhij,bjhd->bihd", seen, v)
        else:
            seen = torch.softmax(q.transpose(1, 2) @ k.permute(0, 2, 3, 1) * (width // 2) ** -0.5, -1)
            mixed = (seen @ v.transpose(1, 2)).transpose(1, 2)
        x = x + self.out(mixed.reshape(batch, steps, width))
        return x + self.mlp(self.after(x))


class MobileVit(nn.Module):
    """Convolutions, then attention among the pixels of the same place in every patch."""

    def __init__(self, by_einsum: bool) -> None:
        super().__init__()
        self.stem, self.local = _block(3, 16, 3, 2, act=nn.SiLU()), _block(16, 16, 3, act=nn.SiLU())
        self.encoder, self.fuse = Encoder(16, by_einsum), _block(32, 16, 3, act=nn.SiLU())
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        patches = self.local(stem).reshape(16 * 6, 2, 8, 2).transpose(1, 2).reshape(1, 16, 48, 4)
        tokens = self.encoder(patches.permute(0, 3, 2, 1).reshape(4, 48, 16))
        pixels = (
            tokens.reshape(1, 4, 48, 16).permute(0, 3, 2, 1).reshape(96, 8, 2, 2).transpose(1, 2).reshape(1, 16, 12, 16)
        )
        return self.head(self.fuse(torch.cat([stem, pixels], 1)).mean((2, 3)))


def mobilevit(rng: Random) -> Drawn:
    return MobileVit(bool(rng.integers(2))), (1, 3, 24, 32)


class Tokens(nn.Module):
    """Patches, positions, layers of a transformer, the mean of all tokens."""

    def __init__(self, by_einsum: bool) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 48, 16))
        self.layers, self.norm, self.head = (
            nn.Sequential(Encoder(16, by_einsum), Encoder(16, by_einsum)),
            nn.LayerNorm(16),
            nn.Linear(16, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.patch(x).flatten(2).transpose(1, 2) + self.place)).mean(1))


def vit(rng: Random) -> Drawn:
    return Tokens(bool(rng.integers(2))), (1, 3, 24, 32)


class Causal(nn.Module):
    def __init__(self, width: int, rate: int, act: nn.Module) -> None:
        super().__init__()
        self.left, self.conv, self.act, self.mix = (
            2 * rate,
            nn.Conv1d(width, width, 3, dilation=rate),
            act,
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.act(self.conv(F.pad(x, (self.left, 0)))))


def tcn(rng: Random) -> Drawn:
    act: type[nn.Module] = [nn.ReLU, nn.PReLU, nn.Tanh][int(rng.integers(3))]
    layers = [Causal(12, rate, act()) for rate in (1, 2, 4)]
    return nn.Sequential(nn.Conv1d(6, 12, 1), *layers, nn.BatchNorm1d(12), nn.ReLU(), nn.Conv1d(12, 4, 1)), (1, 6, 40)


class ConvLstm(nn.Module):
    """Bands of a picture read one after another by a convolutional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.out = nn.Conv2d(3 + 8, 32, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(1, 8, 8, 24)
        kept = torch.zeros(1, 8, 8, 24)
        for place in range(3):
            band = x[:, :, 8 * place : 8 * place + 8]
            i, f, g, o = self.gates(torch.cat([band, state], 1)).chunk(4, 1)
            kept = torch.sigmoid(f) * kept + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(kept)
        return self.out(state)


def conv_lstm(rng: Random) -> Drawn:  # noqa: ARG001
    return ConvLstm(), (1, 3, 24, 24)


def keyword_spotting(rng: Random) -> Drawn:
    act: type[nn.Module] = [nn.ReLU, nn.ReLU6][int(rng.integers(2))]
    parts: list[nn.Module] = [
        nn.ZeroPad2d((1, 1, 4, 5)),
        nn.Conv2d(1, 16, (10, 4), 2, bias=False),
        nn.BatchNorm2d(16),
        act(),
    ]
    for _ in range(2):
        parts += [_block(16, 16, 3, groups=16, act=act()), _block(16, 16, 1, act=act())]
    return nn.Sequential(*parts, nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(16, 12), nn.Softmax(1)), (1, 1, 49, 10)


def subpixel(rng: Random) -> Drawn:
    scale = int(rng.integers(2, 4))
    act = [nn.PReLU(12), nn.Tanh(), nn.ReLU()][int(rng.integers(3))]
    inner = Sum(nn.Conv2d(12, 12, 3, padding=1), act, nn.Conv2d(12, 12, 3, padding=1))
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, padding=2), inner, nn.Conv2d(12, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
    ), (1, 3, 16, 20)


class Aspp(nn.Module):
    """DeepLab's: rates side by side, the mean of the picture spread out again, and up to the picture's size."""

    def __init__(self, corners: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 8, 3, 2), _block(8, 16, 3, 2))
        self.rates = nn.ModuleList([nn.Conv2d(16, 8, 3, padding=rate, dilation=rate) for rate in (1, 2, 3)])
        self.mean, self.mix, self.corners = nn.Conv2d(16, 8, 1), nn.Conv2d(32, 4, 1), corners

    def forward(self, x: Tensor) -> Tensor:
        low = self.stem(x)
        ways = [torch.relu(rate(low)) for rate in self.rates]
        mean = torch.relu(self.mean(F.adaptive_avg_pool2d(low, 1)))
        ways.append(F.interpolate(mean, size=[low.shape[2], low.shape[3]], mode="bilinear", align_corners=self.corners))
        return F.interpolate(
            self.mix(torch.cat(ways, 1)), size=[x.shape[2], x.shape[3]], mode="bilinear", align_corners=self.corners
        )


def deeplab(rng: Random) -> Drawn:
    return Aspp(bool(rng.integers(2))), (1, 3, 32, 24)


class Crnn(nn.Module):
    def __init__(self, cell: Callable[..., nn.Module], both: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _block(3, 8, 3, act=nn.ReLU()), nn.MaxPool2d(2), _block(8, 12, 3, act=nn.ReLU()), nn.MaxPool2d((2, 1))
        )
        self.rnn, self.out = cell(12 * 4, 10, bidirectional=both, batch_first=True), nn.Linear(20 if both else 10, 7)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.conv(x).permute(0, 3, 1, 2).flatten(2)
        return torch.log_softmax(self.out(self.rnn(steps)[0]), -1)


def crnn(rng: Random) -> Drawn:
    return Crnn([nn.LSTM, nn.GRU][int(rng.integers(2))], bool(rng.integers(2))), (1, 3, 16, 24)


class Pose(nn.Module):
    """Heat maps, and where their mass lies."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(3, 12, 3, 2, act=nn.ReLU()), _block(12, 12, 3, act=nn.ReLU()), nn.Conv2d(12, 5, 1)
        )
        self.register_buffer("rows", torch.linspace(0, 1, 12))
        self.register_buffer("columns", torch.linspace(0, 1, 16))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.body(x)
        mass = maps.flatten(2).softmax(-1).view(maps.shape)
        return maps, torch.stack([(mass.sum(3) * self.rows).sum(2), (mass.sum(2) * self.columns).sum(2)], -1)


def pose(rng: Random) -> Drawn:  # noqa: ARG001
    return Pose(), (1, 3, 24, 32)


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(16), nn.LayerNorm(16)
        self.tokens = nn.Sequential(nn.Linear(48, 24), nn.GELU(), nn.Linear(24, 48))
        self.channels = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.before(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.after(x))


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.layers, self.head = nn.Conv2d(3, 16, 4, 4), nn.Sequential(Mixer(), Mixer()), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


def mixer(rng: Random) -> Drawn:  # noqa: ARG001
    return Mixed(), (1, 3, 24, 32)


class Normalised(nn.Module):
    """What an application does to a picture, inside the model."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner((x - self.mean) / self.std)


def regnet(rng: Random) -> Drawn:
    parts = [
        normed(rng, 3, 16, 3, 2),
        Sum(normed(rng, 16, 16, 1), normed(rng, 16, 16, 3, groups=4), nn.Conv2d(16, 16, 1)),
        nn.ReLU(),
    ]
    return Normalised(nn.Sequential(*parts, normed(rng, 16, 24, 3, 2, groups=2), *_classifier(24))), (1, 3, 32, 32)


def generator(rng: Random) -> Drawn:
    norm: type[nn.Module] = [nn.BatchNorm2d, nn.InstanceNorm2d][int(rng.integers(2))]
    up = [
        nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(16, 8, 3, padding=1)),
    ]
    down = [
        nn.ReflectionPad2d(2),
        nn.Conv2d(3, 8, 5),
        norm(8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 3, 2, 1),
        norm(16),
        nn.ReLU(),
    ]
    inner = Sum(nn.ReflectionPad2d(1), nn.Conv2d(16, 16, 3), norm(16), nn.ReLU())
    return nn.Sequential(
        *down, inner, up[int(rng.integers(2))], norm(8), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()
    ), (1, 3, 24, 32)


NETWORKS: Mapping[str, Callable[[Random], Drawn]] = {
    each.__name__: each
    for each in (
        mobilenet_v1, mobilenet_v3, efficientnet_lite, unet, blazeface, ssd, mobilevit, vit, tcn, conv_lstm,
        keyword_spotting, subpixel, deeplab, crnn, pose, mixer, regnet, generator,
    )
}  # fmt: skip


def drawn(seed: int) -> tuple[nn.Module, Tensor]:
    """The network whose turn it is, drawn by seed, and an input for it."""
    rng = np.random.default_rng([seed, 131])
    torch.manual_seed(seed)
    net, shape = [*NETWORKS.values()][seed % len(NETWORKS)](rng)
    return net.eval(), torch.rand(shape, generator=torch.Generator().manual_seed(seed))
