"""Networks on sequences, graphs and tables in the styles of other libraries."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def tokens(count: int, *shape: int) -> Tensor:
    return torch.randint(1, count, shape, generator=torch.Generator().manual_seed(5))


class Causal(nn.Module):
    """WaveNet: gated dilated convolutions, padded in front, with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 12, 1)
        self.gates = nn.ModuleList([nn.Conv1d(12, 24, 2, dilation=2**step) for step in range(3)])
        self.sides = nn.ModuleList([nn.Conv1d(12, 24, 1) for _ in range(3)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(12, 12, 1), nn.ReLU(), nn.Conv1d(12, 6, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        skipped = torch.zeros_like(x)
        for step, (gate, side) in enumerate(zip(self.gates, self.sides, strict=True)):
            one, other = gate(F.pad(x, (2**step, 0))).chunk(2, 1)
            y, skip = side(torch.tanh(one) * torch.sigmoid(other)).split(12, 1)
            x, skipped = (x + y) * math.sqrt(0.5), skipped + skip
        return self.out(skipped)


class Conformer(nn.Module):
    """One block: half feed-forwards, attention, a gated depthwise convolution."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])
        self.before, self.after = (nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, width)) for _ in "ab")
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.depth = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.norm, self.narrow = nn.BatchNorm1d(width), nn.Conv1d(width, width, 1)
        self.out = nn.Linear(width, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.before(self.norms[0](x))
        batch, steps, width = x.shape
        q, k, v = (
            part.view(batch, steps, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norms[1](x)).chunk(3, -1)
        )
        seen = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(width // self.heads), -1) @ v
        x = x + self.merge(seen.transpose(1, 2).reshape(batch, steps, width))
        y = F.glu(self.wide(self.norms[2](x).transpose(1, 2)), 1)
        x = x + self.narrow(F.silu(self.norm(self.depth(y)))).transpose(1, 2)
        x = x + 0.5 * self.after(self.norms[3](x))
        return F.log_softmax(self.out(self.norms[4](x)), -1)


class Scan(nn.Module):
    """A selective state space, its recurrence written out."""

    def __init__(self, width: int = 8, states: int = 4) -> None:
        super().__init__()
        self.states = states
        self.wide, self.conv = (
            nn.Linear(width, 4 * width, bias=False),
            nn.Conv1d(2 * width, 2 * width, 3, padding=2, groups=2 * width),
        )
        self.parts, self.step = nn.Linear(2 * width, 2 + 2 * states, bias=False), nn.Linear(2, 2 * width)
        self.decay = nn.Parameter(torch.log(torch.arange(1, states + 1).float()).repeat(2 * width, 1))
        self.direct, self.out = nn.Parameter(torch.rand(2 * width)), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y, gate = self.wide(x).chunk(2, -1)
        y = F.silu(self.conv(y.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        step, into, out = self.parts(y).split([2, self.states, self.states], -1)
        step = F.softplus(self.step(step))
        kept = torch.exp(step[..., None] * -torch.exp(self.decay))
        fed = step[..., None] * into[:, :, None] * y[..., None]
        state, rows = torch.zeros_like(kept[:, 0]), []
        for place in range(6):
            state = kept[:, place] * state + fed[:, place]
            rows.append((state * out[:, place, None]).sum(-1))
        return self.out((torch.stack(rows, 1) + y * self.direct) * F.silu(gate))


class Experts(nn.Module):
    """Two of four experts, weighted by a router."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(12, 4, bias=False)
        self.first, self.second = nn.Parameter(torch.randn(4, 12, 24) / 4), nn.Parameter(torch.randn(4, 24, 12) / 5)
        self.norm = nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        share, chosen = torch.softmax(self.router(x), -1).topk(2, -1)
        share = share / share.sum(-1, keepdim=True)
        weight = torch.zeros(x.shape[0], x.shape[1], 4).scatter(-1, chosen, share)
        made = torch.einsum("bseh,ehd->bsed", F.gelu(torch.einsum("bsd,edh->bseh", x, self.first)), self.second)
        return self.norm(x + (made * weight[..., None]).sum(2))


class Graphs(nn.Module):
    """Messages along edges, added up at nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update, self.out = nn.Linear(16, 8), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for _ in range(2):
            sent = F.relu(self.message(torch.cat([x[edges[0]], x[edges[1]]], -1)))
            total = torch.zeros_like(x).index_add(0, edges[1], sent)
            x = F.elu(self.update(torch.cat([x, total], -1)))
        return self.out(x).mean(0, keepdim=True)


class Read(nn.Module):
    """CRNN: convolutions, a bidirectional LSTM, characters."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.rnn, self.out = nn.LSTM(48, 10, bidirectional=True, batch_first=True), nn.Linear(20, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.a(x)), 2)
        x = F.max_pool2d(F.relu(self.norm(self.b(x))), (2, 1))
        x = x.permute(0, 3, 1, 2).flatten(2)
        return F.log_softmax(self.out(self.rnn(x)[0]), -1)


class Tabular(nn.Module):
    """Embeddings of categories beside numbers, crossed as recommenders do."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(size, 8) for size in (7, 11, 5)])
        self.numbers, self.norm = nn.Linear(6, 8), nn.BatchNorm1d(6)
        self.deep = nn.Sequential(
            nn.Linear(6 + 8, 16), nn.BatchNorm1d(16), nn.SELU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )

    def forward(self, numbers: Tensor, kinds: Tensor) -> Tensor:
        rows = [table(kinds[:, place]) for place, table in enumerate(self.tables)]
        numbers = self.numbers(self.norm(numbers))
        rows = torch.stack([*rows, numbers], 1)
        crossed = torch.bmm(rows, rows.transpose(1, 2))
        lower = torch.tril_indices(4, 4, offset=-1)
        return self.deep(torch.cat([numbers, crossed[:, lower[0], lower[1]]], 1))


class Root(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.2 * torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Grouped(nn.Module):
    """A language model's block: RMS norms, rotary positions, grouped heads, SwiGLU."""

    def __init__(self, width: int = 16, heads: int = 4, groups: int = 2) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.words = nn.Embedding(40, width)
        self.norms = nn.ModuleList([Root(width) for _ in range(3)] + [Root(self.size) for _ in range(2)])
        self.q, self.k, self.v = (nn.Linear(width, n * self.size, bias=False) for n in (heads, groups, groups))
        self.o, self.gate, self.up = nn.Linear(width, width, bias=False), nn.Linear(width, 40), nn.Linear(width, 40)
        self.down = nn.Linear(40, width)
        angle = torch.arange(8)[:, None] * 10000 ** (-torch.arange(0, self.size, 2) / self.size)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def turned(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, -1)
        return x * self.cos + torch.cat([-other, one], -1) * self.sin

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        y = self.norms[0](x)
        batch, steps, _ = y.shape
        q = self.turned(self.norms[3](self.q(y).view(batch, steps, self.heads, -1)).transpose(1, 2))
        k = self.turned(self.norms[4](self.k(y).view(batch, steps, self.groups, -1)).transpose(1, 2))
        v = self.v(y).view(batch, steps, self.groups, -1).transpose(1, 2)
        k, v = (part.repeat_interleave(self.heads // self.groups, 1) for part in (k, v))
        score = q @ k.transpose(2, 3) * self.size**-0.5
        hidden = torch.triu(torch.full((steps, steps), -1e9), 1)
        x = x + self.o((torch.softmax(score + hidden, -1) @ v).transpose(1, 2).reshape(batch, steps, -1))
        y = self.norms[1](x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return F.linear(self.norms[2](x), self.words.weight)


class Linearised(nn.Module):
    """Attention without a softmax, by einsum; latents that read the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.out, self.norm = nn.Linear(12, 12), nn.Linear(12, 24), nn.Linear(12, 12), nn.LayerNorm(12)
        self.latent, self.cross = nn.Parameter(torch.randn(5, 12)), nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        q = (F.elu(self.q(x)) + 1).unflatten(-1, (3, 4))
        k, v = (part.unflatten(-1, (3, 4)) for part in self.kv(x).chunk(2, -1))
        k = F.elu(k) + 1
        sums = torch.einsum("bshd,bshe->bhde", k, v)
        below = torch.einsum("bshd,bhd->bsh", q, k.sum(1))
        y = torch.einsum("bshd,bhde->bshe", q, sums) / below[..., None]
        x = self.norm(x + self.out(y.flatten(2)))
        return self.cross(self.latent.expand(x.shape[0], -1, -1), x, x, need_weights=False)[0]


class Mixed(nn.Module):
    """Spatial gating units and a token mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(12), nn.Linear(12, 48), nn.Linear(24, 12)
        self.gate, self.space = nn.LayerNorm(24), nn.Conv1d(6, 6, 1)
        self.tokens = nn.Sequential(nn.Linear(6, 10), nn.GELU(approximate="tanh"), nn.Linear(10, 6))
        self.out = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        one, other = F.gelu(self.wide(self.norm(x))).chunk(2, -1)
        x = x + self.narrow(one * self.space(self.gate(other)))
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return self.out(x.mean(1))


class Separated(nn.Module):
    """Conv-TasNet: an encoder, a mask by global norms, frames added with overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = (
            nn.Conv1d(1, 16, 8, stride=4, bias=False),
            nn.ConvTranspose1d(16, 1, 8, stride=4, bias=False),
        )
        self.norm, self.narrow, self.wide = nn.GroupNorm(1, 16), nn.Conv1d(16, 12, 1), nn.Conv1d(12, 32, 1)
        self.deep, self.slope = nn.Conv1d(12, 12, 3, padding=2, dilation=2, groups=12), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        made = F.relu(self.encode(x))
        y = self.narrow(self.norm(made))
        y = y + self.slope(self.deep(y))
        masks = torch.sigmoid(self.wide(y)).view(-1, 2, 16, y.shape[-1])
        parts = (masks * made[:, None]).flatten(0, 1)
        return self.decode(parts).view(x.shape[0], 2, -1)


class Denoise(nn.Module):
    """A diffusion U-Net: a time's embedding, group norms, attention in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 24))
        self.first, self.down = nn.Conv2d(4, 12, 3, padding=1), nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.n1, self.c1, self.t1 = nn.GroupNorm(4, 12), nn.Conv2d(12, 12, 3, padding=1), nn.Linear(24, 12)
        self.n2, self.q, self.k, self.v, self.o = nn.GroupNorm(6, 24), *(nn.Conv2d(24, 24, 1) for _ in range(4))
        self.up, self.n3, self.out = (
            nn.Conv2d(36, 12, 3, padding=1),
            nn.GroupNorm(4, 12),
            nn.Conv2d(12, 4, 3, padding=1),
        )

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        angle = step[:, None].float() * torch.exp(torch.arange(8) * (-math.log(10000) / 8))
        time = self.time(torch.cat([angle.sin(), angle.cos()], -1))
        x = self.first(x)
        skip = x + self.c1(F.silu(self.n1(x)) + self.t1(F.silu(time))[:, :, None, None])
        low = self.down(skip)
        y = self.n2(low)
        q, k, v = (part(y).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(low.shape)
        y = F.interpolate(low + self.o(seen), scale_factor=2.0, mode="nearest")
        return self.out(F.silu(self.n3(self.up(torch.cat([y, skip], 1)))))


SEQUENCES = {
    "causal": (Causal, (noise(1, 4, 20),)),
    "conformer": (Conformer, (noise(1, 10, 16),)),
    "scan": (Scan, (noise(2, 6, 8),)),
    "experts": (Experts, (noise(2, 5, 12),)),
    "graphs": (Graphs, (noise(9, 8), tokens(9, 2, 20))),
    "read": (Read, (noise(1, 1, 16, 24),)),
    "tabular": (Tabular, (noise(6, 6), tokens(5, 6, 3))),
    "grouped": (Grouped, (tokens(40, 2, 8),)),
    "linearised": (Linearised, (noise(2, 7, 12),)),
    "mixed": (Mixed, (noise(2, 6, 12),)),
    "separated": (Separated, (noise(1, 1, 64),)),
    "denoise": (Denoise, (noise(1, 4, 8, 8), tokens(900, 1))),
}
