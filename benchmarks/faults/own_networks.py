"""Networks of our own for what the library does not have."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Squeeze(nn.Module):
    """Squeeze-and-excite with hard activations, a pool that counts its padding, a channel shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.Hardswish()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)
        self.gate = nn.Hardsigmoid()
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.depthwise(x)))
        scale = self.gate(self.up(functional.relu(self.down(y.mean((2, 3), keepdim=True)))))
        return x + self.project_norm(self.project(y * scale))


class SqueezeNetwork(nn.Module):
    """Stem, average pool with padding, four blocks, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 5, stride=2, padding=2)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=True)
        self.blocks = nn.Sequential(Squeeze(16), Squeeze(16), nn.MaxPool2d(3, 2, 1), Squeeze(16), Squeeze(16))
        self.head = nn.Linear(16, 16)
        self.classifier = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.pool(torch.sigmoid(self.stem(x))))
        y = functional.hardswish(self.head(y.mean((2, 3))))
        return torch.softmax(self.classifier(y), dim=-1)


class Stage(nn.Module):
    """Two convolutions with group norm and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=2, dilation=2, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.first(x)), 0.2)
        return functional.leaky_relu(self.second_norm(self.second(x)), 0.2)


class UNet(nn.Module):
    """Encoder and decoder with skips: bilinear and nearest resize, transposed convolution, pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = Stage(3, 8)
        self.down1 = Stage(8, 12)
        self.down2 = Stage(12, 16)
        self.rise2 = nn.ConvTranspose2d(16, 12, 4, stride=2, padding=1)
        self.up2 = Stage(24, 12)
        self.up1 = Stage(20, 8)
        self.guide = nn.Conv2d(16, 8, 1)
        self.last = nn.Conv2d(16, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.enter(x)
        b = self.down1(functional.max_pool2d(a, 2))
        c = self.down2(functional.avg_pool2d(b, 2))
        d = self.up2(torch.cat([self.rise2(c), b], 1))
        e = functional.interpolate(d, scale_factor=2.0, mode="bilinear", align_corners=False)
        f = self.up1(torch.cat([e, a], 1))
        hint = functional.interpolate(self.guide(c), size=(28, 36), mode="nearest")
        g = torch.cat([f, functional.interpolate(hint[:, :, 1:-1, 1:-1], size=(28, 36), mode="nearest")], 1)
        y = self.shuffle(self.last(g))
        return torch.tanh(y) - functional.interpolate(x, size=(56, 72), mode="bilinear", align_corners=True)


class ModulatedConv(nn.Module):
    """StyleGAN2's convolution: weights scaled by a style, then demodulated."""

    def __init__(self, inputs: int, outputs: int, styles: int, *, demodulate: bool = True, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))
        self.modulation = nn.Linear(styles, inputs)
        self.demodulate = demodulate
        self.kernel = kernel

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight * (1 + self.modulation(style)).view(1, 1, -1, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(1, -1, 1, 1, 1)
        weight = weight.view(weight.shape[1], weight.shape[2], self.kernel, self.kernel)
        return functional.conv2d(x, weight, padding=self.kernel // 2)


class StyleBlock(nn.Module):
    """Upsample, modulated convolution, noise, leaky ReLU."""

    def __init__(self, channels: int, size: int, styles: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, channels, styles)
        self.strength = nn.Parameter(torch.full((1,), 0.3))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.to_rgb = ModulatedConv(channels, 3, styles, demodulate=False, kernel=1)
        self.register_buffer("noise", torch.randn(1, 1, size, size))
        self.live = False

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor]:
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        noise = torch.randn_like(x[:, :1]) if self.live else self.noise
        x = self.conv(x, style) + self.strength * noise
        x = functional.leaky_relu(x + self.bias, 0.2) * math.sqrt(2)
        rgb = self.to_rgb(x, style)
        if skip is not None:
            rgb = rgb + functional.interpolate(skip, scale_factor=2.0, mode="bilinear", align_corners=False)
        return x, rgb


class Generator(nn.Module):
    """A mapping network and three style blocks; returns the picture and a preview."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(
            nn.Linear(24, 24), nn.LeakyReLU(0.2), nn.Linear(24, 24), nn.LeakyReLU(0.2), nn.Linear(24, 24)
        )
        self.constant = nn.Parameter(torch.randn(1, 12, 4, 4))
        self.blocks = nn.ModuleList(StyleBlock(12, size, 24) for size in (8, 16, 32))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        style = self.mapping(z * torch.rsqrt(z.pow(2).mean(1, keepdim=True) + 1e-8))
        x, rgb, preview = self.constant, None, None
        for block in self.blocks:
            x, rgb = block(x, style, rgb)
            preview = rgb if preview is None else preview
        return torch.sigmoid(rgb), preview


class Recurrent(nn.Module):
    """Two recurrent layers, one of them in both directions, between linear layers."""

    def __init__(self, cell: type[nn.Module]) -> None:
        super().__init__()
        self.enter = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)
        self.both = cell(12, 10, batch_first=True, bidirectional=True)
        self.forth = cell(20, 12, batch_first=True)
        self.attend = nn.Linear(12, 1)
        self.head = nn.Linear(12, 12)
        self.last = nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.both(self.norm(torch.tanh(self.enter(x))))[0]
        y = self.forth(y)[0]
        weight = torch.softmax(self.attend(y), dim=1)
        return self.last(functional.elu(self.head((weight * y).sum(1))))


class Towers(nn.Module):
    """A picture and a vector, joined by concatenation, difference and ratio."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1),
            nn.PReLU(24),
            nn.AvgPool2d(3, 2, 1),
            nn.Conv2d(24, 16, 3, padding=1),
            nn.SiLU(),
        )
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.flat = nn.Linear(4 * 12 * 12, 16)
        self.encode = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16), nn.Softplus())
        self.fuse = nn.Linear(32, 16)
        self.last = nn.Linear(16, 5)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        a = self.flat(torch.flatten(self.squeeze(self.features(image)), 1))
        b = self.encode(vector)
        ratio = (a - b) / (1 + b)
        joined = torch.cat([ratio, torch.exp(-b)], 1)
        return functional.log_softmax(self.last(torch.tanh(self.fuse(joined))), dim=1)


class Detector(nn.Module):
    """Three outputs; two of them have one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(inplace=True),
            nn.Conv2d(12, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
        )
        self.shared = nn.Conv2d(16, 16, 3, padding=1)
        self.coarse = nn.Conv2d(16, 4, 1)
        self.fine = nn.Conv2d(16, 4, 3, padding=1)
        self.score = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.body(x)
        y = functional.relu(self.shared(y))
        y = functional.relu(self.shared(y) + y)
        return self.coarse(y), torch.exp(0.1 * self.fine(y)), torch.sigmoid(self.score(y))


class SharpBlock(nn.Module):
    """Attention whose logits are so large that rounding decides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        logits = 200.0 * self.query(y) @ self.key(y).transpose(1, 2)
        return x + torch.softmax(logits, -1) @ self.value(y)


def squeeze() -> nn.Module:
    return SqueezeNetwork()


def unet() -> nn.Module:
    return UNet()


def generator() -> nn.Module:
    return Generator()


def lstm() -> nn.Module:
    return Recurrent(nn.LSTM)


def gru() -> nn.Module:
    return Recurrent(nn.GRU)


def towers() -> nn.Module:
    return Towers()


def detector() -> nn.Module:
    return Detector()


def sharp() -> nn.Module:
    return nn.Sequential(*(SharpBlock(24) for _ in range(14)))
