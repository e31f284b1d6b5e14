"""Networks of operations that exporters spell in many ways: stacks of recurrences, spectra, transposed windows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name

from benchmarks.converters.blind.pictures import normed, picture
from benchmarks.converters.blind.sequences import noise


class Stacked(nn.Module):
    """Two layers of LSTM both ways, then GRU, then a plain recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.gated, self.plain = nn.GRU(16, 10, num_layers=2, batch_first=True), nn.RNN(10, 7, batch_first=True)
        self.out = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (last, _) = self.long(x)
        y, _ = self.gated(torch.tanh(y))
        y, _ = self.plain(y)
        return self.out(y), last


class Relative(nn.Module):
    """Attention by einsum with decomposed relative positions, as in SAM."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix, self.out = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)
        self.rows, self.columns = (nn.Parameter(torch.randn(7, 6)) for _ in range(2))
        self.register_buffer("apart", torch.arange(4)[:, None] - torch.arange(4)[None, :] + 3)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        q, k, v = self.mix(self.norm(x)).reshape(batch, 16, 3, 2, 6).permute(2, 0, 3, 1, 4).reshape(3, -1, 16, 6)
        placed = q.reshape(-1, 4, 4, 6)
        down = torch.einsum("bhwc,hkc->bhwk", placed, self.rows[self.apart])
        right = torch.einsum("bhwc,wkc->bhwk", placed, self.columns[self.apart])
        scores = (q * 6**-0.5) @ k.transpose(-2, -1)
        scores = scores.view(-1, 4, 4, 4, 4) + down[..., None] + right[:, :, :, None, :]
        seen = scores.view(-1, 16, 16).softmax(-1) @ v
        return x + self.out(seen.view(batch, 2, 16, 6).transpose(1, 2).reshape(batch, 4, 4, 12))


class Deconvolved(nn.Module):
    """Transposed convolutions with groups, dilation and output padding; skips cut to size."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = normed(3, 8, 3, 2), normed(8, 16, 3, 2)
        self.up = nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1, groups=2)
        self.norm, self.slope = nn.InstanceNorm2d(8, affine=True), nn.PReLU(8)
        self.wide = nn.ConvTranspose2d(16, 6, 3, 2, dilation=2, bias=False)
        self.out = nn.Conv2d(6, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        low = F.leaky_relu(self.down(x), 0.1)
        y = self.slope(self.norm(self.up(F.elu(self.deep(low)))))
        y = self.wide(torch.cat([y, low], 1))
        return torch.tanh(self.out(y[:, :, : x.shape[2], : x.shape[3]]))


class Spectral(nn.Module):
    """FNet's mixing by a Fourier transform written as products, and a filter bank of windows."""

    def __init__(self) -> None:
        super().__init__()
        turns = torch.arange(8)[:, None] * torch.arange(8)[None, :] * (2 * torch.pi / 8)
        self.register_buffer("cosines", turns.cos())
        self.register_buffer("sines", turns.sin())
        self.first, self.second, self.norm = nn.Linear(8, 16), nn.Linear(16, 8), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        power = (x @ self.cosines).square() + (x @ self.sines).square()
        y = self.norm(x + torch.log1p(power))
        y = y + self.second(F.mish(self.first(y)))
        frames = y.transpose(1, 2).unfold(2, 4, 2)
        return torch.logsumexp(frames * frames.std(-1, keepdim=True), -1)


class Fourier(nn.Module):
    """A transform to frequencies and back with learnt gains."""

    def __init__(self) -> None:
        super().__init__()
        self.gains, self.out = nn.Parameter(torch.rand(9) + 0.5), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.fft.rfft(x, dim=-1)
        return self.out(torch.fft.irfft(seen * self.gains, n=16, dim=-1) + x)


class Routed(nn.Module):
    """The best of many anchors: top k, gathered, their boxes decoded and sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = normed(3, 12, 3, 2), nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.head(F.hardswish(self.stem(x))).flatten(2).transpose(1, 2)
        scores, places = torch.topk(y[..., 4].sigmoid(), 6, dim=1)
        boxes = torch.gather(y[..., :4], 1, places[..., None].expand(-1, -1, 4))
        centre, size = boxes[..., :2], boxes[..., 2:].clamp(max=4).exp()
        return torch.cat([centre - size / 2, centre + size / 2], -1), scores


class Steps(nn.Module):
    """A cell that is called step by step, its state carried."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.long, self.out = nn.GRUCell(5, 8), nn.LSTMCell(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, hidden, kept = x.new_zeros(x.shape[0], 8), x.new_zeros(x.shape[0], 6), x.new_zeros(x.shape[0], 6)
        found: list[Tensor] = []
        for place in range(4):
            state = self.cell(x[:, place], state)
            hidden, kept = self.long(state, (hidden, kept))
            found.append(self.out(hidden))
        return torch.stack(found, 1)


class Sampled(nn.Module):
    """Deformable attention: values sampled where queries point, by grid_sample in three ways."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.places = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.weigh, self.out = nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        values, places = self.values(x), torch.tanh(self.places(x)).permute(0, 2, 3, 1)
        shares = self.weigh(x).softmax(1)
        one = F.grid_sample(values, places[..., :2], mode="bilinear", padding_mode="zeros", align_corners=False)
        other = F.grid_sample(values, places[..., 2:], mode="nearest", padding_mode="reflection", align_corners=False)
        return self.out(F.adaptive_max_pool2d(one * shares[:, :1] + other * shares[:, 1:], 4))


RARER = {
    "stacked": (Stacked, (noise(2, 5, 6),)),
    "relative": (Relative, (noise(1, 4, 4, 12),)),
    "deconvolved": (Deconvolved, (picture(1, 3, 16, 16),)),
    "spectral": (Spectral, (noise(2, 10, 8),)),
    "fourier": (Fourier, (noise(2, 3, 16),)),
    "routed": (Routed, (picture(1, 3, 16, 16),)),
    "steps": (Steps, (noise(2, 4, 5),)),
    "sampled": (Sampled, (picture(1, 3, 16, 16),)),
}
