"""Networks on pictures in the styles of other libraries; small, weights random, statistics as training leaves them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def normed(inner: int, outer: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer))


class Excite(nn.Module):
    def __init__(self, width: int, inner: int, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand, self.gate = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """EfficientNet's block."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        wide = 4 * inner
        self.expand, self.depth = normed(inner, wide, 1), normed(wide, wide, 5, stride, wide)
        self.excite, self.project = Excite(wide, inner // 2, nn.Sigmoid()), normed(wide, outer, 1)
        self.same = inner == outer and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.excite(F.silu(self.depth(F.silu(self.expand(x))))))
        return x + y if self.same else y


def efficient() -> nn.Module:
    blocks = Inverted(8, 8, 1), Inverted(8, 16, 2), Inverted(16, 16, 1)
    return nn.Sequential(
        normed(3, 8, 3, 2), nn.SiLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


class Bottleneck(nn.Module):
    """RegNet's block."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            normed(inner, outer, 1),
            normed(outer, outer, 3, stride, outer // 8),
            normed(outer, outer, 1),
        )
        self.excite = Excite(outer, 4, nn.Hardsigmoid())
        self.short = normed(inner, outer, 1, stride) if stride > 1 or inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(self.excite(F.relu(self.b(F.relu(self.a(x))))))
        return F.relu(y + self.short(x))


def regnet() -> nn.Module:
    blocks = Bottleneck(16, 24, 2), Bottleneck(24, 24, 1), Bottleneck(24, 32, 2)
    return nn.Sequential(
        normed(3, 16, 3, 2), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )


class HighResolution(nn.Module):
    """HRNet: two resolutions that exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = normed(3, 16, 3, 2), normed(16, 24, 3, 2)
        self.high, self.low = normed(16, 16), normed(24, 24)
        self.up, self.lower = normed(24, 16, 1), normed(16, 24, 3, 2)
        self.head = nn.Conv2d(40, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        high, low = F.relu(self.high(x)), F.relu(self.low(F.relu(self.down(x))))
        merged = F.relu(high + F.interpolate(self.up(low), scale_factor=2.0, mode="nearest"))
        deep = F.relu(low + self.lower(high))
        size = merged.shape[2:]
        deep = F.interpolate(deep, size=[size[0], size[1]], mode="bilinear", align_corners=True)
        return self.head(torch.cat([merged, deep], 1))


class Yolo(nn.Module):
    """A head at two strides with decoded boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), nn.SiLU(), normed(16, 16, 3, 2), nn.SiLU())
        self.deep, self.pool = nn.Sequential(normed(16, 24, 3, 2), nn.SiLU()), nn.MaxPool2d(5, 1, 2)
        self.merge = nn.Sequential(normed(72, 24, 1), nn.SiLU())
        self.heads = nn.ModuleList([nn.Conv2d(16, 3 * 9, 1), nn.Conv2d(24, 3 * 9, 1)])
        self.register_buffer(
            "anchors", torch.tensor([[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]]])
        )

    def forward(self, x: Tensor) -> Tensor:
        low = self.stem(x)
        deep = self.deep(low)
        one = self.pool(deep)
        deep = self.merge(torch.cat([deep, one, self.pool(one)], 1))
        parts = []
        for head, level, anchors, stride in zip(self.heads, (low, deep), self.anchors, (4.0, 8.0), strict=True):
            y = head(level)
            batch, _, rows, columns = y.shape
            y = y.view(batch, 3, 9, rows, columns).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
            down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            grid = torch.stack([right, down], -1).to(y.dtype)
            place = (y[..., :2] * 2 - 0.5 + grid) * stride
            size = (y[..., 2:4] * 2) ** 2 * anchors.view(1, 3, 1, 1, 2)
            parts.append(torch.cat([place, size, y[..., 4:]], -1).view(batch, -1, 9))
        return torch.cat(parts, 1)


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


class Progressive(nn.Module):
    """A GAN's generator with pixel norm and stored noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(16, 16 * 16), PixelNorm()
        self.convs = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)])
        self.noise = nn.ParameterList([torch.randn(1, 1, 8, 8), torch.randn(1, 1, 16, 16)])
        self.strength = nn.Parameter(torch.tensor([0.1, 0.2]))
        self.picture = nn.Conv2d(12, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(F.leaky_relu(self.first(self.norm(z)).view(-1, 16, 4, 4), 0.2))
        for place, (conv, noise) in enumerate(zip(self.convs, self.noise, strict=True)):
            x = conv(F.interpolate(x, scale_factor=2.0)) + noise * self.strength[place]
            x = self.norm(F.leaky_relu(x, 0.2))
        return torch.tanh(self.picture(x))


class Modulated(nn.Module):
    """GFPGAN's modulation: a kernel made of a style, and demodulated."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outer, inner, 3, 3) / (inner * 9) ** 0.5)
        self.style, self.bias = nn.Linear(16, inner), nn.Parameter(torch.randn(1, outer, 1, 1) * 0.1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        weight = self.weight * (self.style(style).view(batch, 1, channels, 1, 1) + 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        weight = weight.view(-1, channels, 3, 3)
        x = F.conv2d(x.reshape(1, batch * channels, rows, columns), weight, padding=1, groups=batch)
        return F.leaky_relu(x.view(batch, -1, rows, columns) + self.bias, 0.2) * 2**0.5


class Styled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16))
        self.start = nn.Parameter(torch.randn(1, 12, 8, 8))
        self.a, self.b, self.out = Modulated(12, 12), Modulated(12, 8), nn.Conv2d(8, 3, 1)
        self.scale, self.shift = nn.Conv2d(3, 12, 1), nn.Conv2d(3, 12, 1)

    def forward(self, z: Tensor, face: Tensor) -> Tensor:
        style = self.style(z)
        x = self.a(self.start.expand(z.shape[0], -1, -1, -1), style)
        small = F.interpolate(face, size=[8, 8], mode="bilinear", align_corners=False)
        x = x * (1 + self.scale(small)) + self.shift(small)
        return self.out(self.b(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False), style))


class Super(nn.Module):
    """Residual super-resolution by PixelShuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)
        self.body = nn.ModuleList([nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.PReLU(16)) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        y = first = self.head(x)
        for block in self.body:
            y = y + 0.2 * block(y)
        y = F.pixel_shuffle(self.tail(y + first), 2)
        return (y + F.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=False)).clamp(0, 1)


class Volume(nn.Module):
    """A 3-D encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv3d(1, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True)
        self.b, self.nb = nn.Conv3d(8, 12, 3, stride=2, padding=1), nn.BatchNorm3d(12)
        self.up, self.out = nn.ConvTranspose3d(12, 8, 2, stride=2), nn.Conv3d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.leaky_relu(self.na(self.a(x)), 0.01)
        y = self.up(F.relu(self.nb(self.b(skip))))
        return torch.softmax(self.out(torch.cat([y, skip], 1)), 1)


class Keypoints(nn.Module):
    """Soft-argmax of heat maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), nn.ReLU6(), normed(16, 16), nn.Hardswish())
        self.up, self.heat = nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        heat = self.heat(F.relu(self.up(self.stem(x))))
        batch, points, rows, columns = heat.shape
        share = torch.softmax(heat.reshape(batch, points, -1) * 4, -1).reshape(batch, points, rows, columns)
        across, down = torch.linspace(-1, 1, columns), torch.linspace(-1, 1, rows)
        place = torch.stack([(share.sum(2) * across).sum(-1), (share.sum(3) * down).sum(-1)], -1)
        return place, share.amax((2, 3))


class Warped(nn.Module):
    """Sampling at learned offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.offset, self.mask = (
            nn.Conv2d(3, 12, 3, padding=1),
            nn.Conv2d(12, 2, 3, padding=1),
            nn.Conv2d(12, 1, 3, padding=1),
        )
        self.out = nn.Conv2d(12, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.stem(x))
        rows, columns = x.shape[2], x.shape[3]
        down, right = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        grid = torch.stack([right, down], -1)[None] + 0.2 * torch.tanh(self.offset(x)).permute(0, 2, 3, 1)
        moved = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return self.out(moved * torch.sigmoid(self.mask(x)))


class Pyramid(nn.Module):
    """Dilated branches and pooled context, as segmentation heads have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), nn.ReLU())
        self.branches = nn.ModuleList([nn.Conv2d(16, 8, 3, padding=rate, dilation=rate) for rate in (1, 2, 4)])
        self.context, self.merge, self.norm = nn.Conv2d(16, 8, 1), nn.Conv2d(32, 12, 1), nn.GroupNorm(4, 12)
        self.out = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        parts = [F.relu(branch(x)) for branch in self.branches]
        pooled = F.relu(self.context(F.adaptive_avg_pool2d(x, 1)))
        parts.append(F.interpolate(pooled, size=x.shape[2:], mode="bilinear", align_corners=False))
        y = F.mish(self.norm(self.merge(torch.cat(parts, 1))))
        return F.interpolate(self.out(y), scale_factor=2.0, mode="bilinear", align_corners=False)


class Shuffled(nn.Module):
    """ShuffleNet's units, with attention over channels and places as CBAM has it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.a, self.b, self.c = normed(8, 8, 1), normed(8, 8, 3, 1, 8), normed(8, 8, 1)
        self.narrow, self.wide, self.place = nn.Linear(16, 4), nn.Linear(4, 16), nn.Conv2d(2, 1, 7, padding=3)
        self.out = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        kept, moved = self.stem(x).chunk(2, 1)
        x = torch.cat([kept, F.relu(self.c(self.b(F.relu(self.a(moved)))))], 1)
        batch, channels, rows, columns = x.shape
        x = x.view(batch, 2, channels // 2, rows, columns).transpose(1, 2).reshape(batch, channels, rows, columns)
        gate = sum(self.wide(F.relu(self.narrow(each))) for each in (x.mean((2, 3)), x.amax((2, 3))))
        x = x * torch.sigmoid(gate)[:, :, None, None]
        x = x * torch.sigmoid(self.place(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        return self.out(x.mean((2, 3)))


PICTURES = {
    "efficient": (efficient, (picture(1, 3, 32, 32),)),
    "regnet": (regnet, (picture(1, 3, 32, 32),)),
    "high-resolution": (HighResolution, (picture(1, 3, 32, 32),)),
    "yolo": (Yolo, (picture(1, 3, 64, 64),)),
    "progressive": (Progressive, (picture(2, 16) - 0.5,)),
    "styled": (Styled, (picture(1, 16) - 0.5, picture(1, 3, 16, 16))),
    "super": (Super, (picture(1, 3, 16, 16),)),
    "volume": (Volume, (picture(1, 1, 8, 8, 8),)),
    "keypoints": (Keypoints, (picture(1, 3, 32, 32),)),
    "warped": (Warped, (picture(1, 3, 16, 16),)),
    "pyramid": (Pyramid, (picture(1, 3, 32, 32),)),
    "shuffled": (Shuffled, (picture(1, 3, 32, 32),)),
}
