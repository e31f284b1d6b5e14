"""Networks of loops and branches that exporters keep, of boxes, scatters, running sums and splines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name

from benchmarks.converters.blind.pictures import picture
from benchmarks.converters.blind.sequences import noise, tokens


def _decay(x: Tensor, gate: Tensor) -> Tensor:
    state = torch.zeros_like(x[:, 0])
    rows = []
    for step in range(x.size(1)):
        state = gate * state + x[:, step]
        rows.append(state)
    return torch.stack(rows, 1)


_DECAY = torch.jit.script(_decay)


class Looped(nn.Module):
    """A linear recurrence in a script, between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(6, 12), nn.Linear(12, 5), nn.LayerNorm(12)
        self.gate = nn.Parameter(torch.rand(12))

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.a(x))
        h = self.norm(_DECAY(h, torch.sigmoid(self.gate)) + h)
        return self.b(h)


def _choose(x: Tensor, y: Tensor) -> Tensor:
    return x + y if x.size(1) > 4 else x * y


_CHOOSE = torch.jit.script(_choose)


class Branched(nn.Module):
    """A branch in a script, by a size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 12), nn.Linear(6, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(_CHOOSE(self.a(x), torch.tanh(self.b(x)))))


def _newton(x: Tensor, count: int) -> Tensor:
    y = x / x.norm()
    for _ in range(count):
        y = 1.5 * y - 0.5 * (y @ y.transpose(0, 1)) @ y
    return y


_NEWTON = torch.jit.script(_newton)


class Whitened(nn.Module):
    """Iterated in a loop with captured products."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(_NEWTON(torch.tanh(self.a(x)), 4))


class RnnT(nn.Module):
    """Transducer joint: encoder LSTM, predictor embedding + GRU, broadcast sum."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.emb, self.pred = (
            nn.LSTM(5, 8, 1, batch_first=True),
            nn.Embedding(10, 6),
            nn.GRU(6, 8, batch_first=True),
        )
        self.le, self.lp, self.out = nn.Linear(8, 12), nn.Linear(8, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        e, p = self.enc(x)[0], self.pred(self.emb(y))[0]
        return F.log_softmax(self.out(torch.tanh(self.le(e).unsqueeze(2) + self.lp(p).unsqueeze(1))), -1)


class Scattered(nn.Module):
    """Graph attention: scores of edges, a softmax by node through scatters."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.src, self.dst, self.out = nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(8, 1), nn.Linear(8, 3)
        g = torch.Generator().manual_seed(3)
        self.register_buffer(
            "edges",
            torch.cat([torch.stack([torch.arange(9), torch.arange(9)]), torch.randint(0, 9, (2, 18), generator=g)], 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.w(x)
        s, d = self.edges[0], self.edges[1]
        e = F.leaky_relu(self.src(h)[s] + self.dst(h)[d], 0.2).exp()
        total = torch.zeros(x.size(0), 1).scatter_add(0, d[:, None], e)
        a = e / (total[d] + 1e-6)
        m = torch.zeros(x.size(0), 8).index_add(0, d, a * h[s])
        return self.out(F.elu(m))


class Pooled(nn.Module):
    """Adaptive and max-unpooled maps, pixel unshuffle, bilinear up, instance norm, reflection pads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(32, 8, 1)
        self.n, self.c = nn.InstanceNorm2d(8, affine=True), nn.Conv2d(16, 4, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.n(self.a(x)))
        low = F.mish(self.b(F.pixel_unshuffle(h, 2)))
        up = F.interpolate(low, scale_factor=2.0, mode="bicubic", align_corners=False)
        return self.c(torch.cat([up, h * torch.sigmoid(F.adaptive_avg_pool2d(h, 1))], 1))


class Windowed(nn.Module):
    """unfold/fold windows, cumulative sums, roll, gather by argsort."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        w = h.unfold(1, 4, 2).mean(-1)
        c = torch.cumsum(w, 1) / torch.arange(1, w.size(1) + 1).view(1, -1, 1)
        r = torch.roll(c, 1, 1)
        order = torch.argsort(r.sum(-1), 1)
        g = torch.gather(r, 1, order.unsqueeze(-1).expand(-1, -1, 8))
        return self.b(torch.relu(g) + c)


class Detection(nn.Module):
    """Anchors decoded, top k, class-wise soft suppression by an IoU matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.box, self.cls = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(12, 4, 1), nn.Conv2d(12, 3, 1)
        ys, xs = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        self.register_buffer("grid", torch.stack([xs, ys], -1).view(1, -1, 2))

    def forward(self, x: Tensor) -> Tensor:
        h = F.hardswish(self.a(x))
        box = self.box(h).flatten(2).transpose(1, 2)
        score = torch.sigmoid(self.cls(h)).flatten(2).transpose(1, 2)
        xy = (torch.sigmoid(box[..., :2]) * 2 - 0.5 + self.grid) * 2
        wh = (torch.sigmoid(box[..., 2:]) * 2) ** 2 * 4
        boxes = torch.cat([xy - wh / 2, xy + wh / 2], -1)
        best = score.amax(-1)
        top, index = best.topk(10, 1)
        b = torch.gather(boxes, 1, index.unsqueeze(-1).expand(-1, -1, 4))
        lt, rb = (
            torch.maximum(b[:, :, None, :2], b[:, None, :, :2]),
            torch.minimum(b[:, :, None, 2:], b[:, None, :, 2:]),
        )
        inter = (rb - lt).clamp(min=0).prod(-1)
        area = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
        iou = inter / (area[:, :, None] + area[:, None] - inter + 1e-9)
        keep = torch.exp(-(iou.tril(-1).amax(-1) ** 2) / 0.5)
        return torch.cat([b, (top * keep).unsqueeze(-1)], -1)


class Rotary2d(nn.Module):
    """Complex rotary positions as real pairs, cross attention with a learnt temperature, key norms."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.o = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(16, 16)
        self.t = nn.Parameter(torch.rand(4, 1, 1) + 0.5)
        f = 1.0 / 100 ** (torch.arange(0, 4, 2) / 4)
        a = torch.outer(torch.arange(6.0), f)
        self.register_buffer("cos", a.cos())
        self.register_buffer("sin", a.sin())

    def turn(self, x: Tensor) -> Tensor:
        a, b = x.view(*x.shape[:-1], 2, 2).unbind(-1)
        return torch.stack([a * self.cos - b * self.sin, a * self.sin + b * self.cos], -1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        q = self.q(x).view(n, 6, 4, 4).transpose(1, 2)
        k, v = self.kv(x).view(n, 6, 2, 4, 4).permute(2, 0, 3, 1, 4)
        s = F.normalize(self.turn(q), dim=-1) @ F.normalize(self.turn(k), dim=-1).transpose(-1, -2)
        s = (s / self.t.clamp(min=0.01)).masked_fill(torch.ones(6, 6, dtype=torch.bool).triu(1), float("-inf"))
        return self.o((s.softmax(-1) @ v).transpose(1, 2).reshape(n, 6, 16)) + x


class Kan(nn.Module):
    """Splines: a basis by recursion, piecewise polynomials, a hypernetwork's product."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(-2, 2, 8))
        self.c, self.base, self.out = nn.Parameter(torch.randn(5, 6, 4) * 0.3), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        u = x.unsqueeze(-1)
        b = ((u >= self.knots[:-1]) & (u < self.knots[1:])).to(x.dtype)
        for k in range(1, 4):
            left = (u - self.knots[: -(k + 1)]) / (self.knots[k:-1] - self.knots[: -(k + 1)])
            right = (self.knots[k + 1 :] - u) / (self.knots[k + 1 :] - self.knots[1:-k])
            b = left * b[..., :-1] + right * b[..., 1:]
        return self.out(torch.einsum("bik,oik->bo", b, self.c) + self.base(F.silu(x)))


def _viterbi(score: Tensor, trans: Tensor) -> Tensor:
    best = score[:, 0]
    for t in range(1, score.size(1)):
        best = torch.logsumexp(best.unsqueeze(2) + trans.unsqueeze(0), 1) + score[:, t]
    return torch.logsumexp(best, 1)


_VITERBI = torch.jit.script(_viterbi)


class Crf(nn.Module):
    """A BiLSTM and a CRF's partition, looped in a script."""

    def __init__(self) -> None:
        super().__init__()
        self.l, self.h = nn.LSTM(5, 6, bidirectional=True, batch_first=True), nn.Linear(12, 4)
        self.t = nn.Parameter(torch.randn(4, 4) * 0.3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = self.h(self.l(x)[0])
        return s, _VITERBI(s, self.t)


class Moving(nn.Module):
    """PReLU, group norm, transposed strided conv, GLU, dilated depthwise, channel attention by conv1d (ECA)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.p, self.g = nn.Conv1d(4, 12, 5, padding=2), nn.PReLU(12), nn.GroupNorm(3, 12)
        self.d, self.w = nn.Conv1d(12, 12, 3, padding=4, dilation=4, groups=12), nn.Conv1d(12, 24, 1)
        self.eca, self.up = nn.Conv1d(1, 1, 3, padding=1, bias=False), nn.ConvTranspose1d(12, 6, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.glu(self.w(self.d(self.g(self.p(self.a(x))))), 1)
        w = torch.sigmoid(self.eca(h.mean(-1, keepdim=True).transpose(1, 2))).transpose(1, 2)
        return torch.tanh(self.up(h * w + 0.1 * F.softplus(h)))


BRANCHING = {
    "looped": (Looped, (noise(2, 5, 6),)),
    "branched": (Branched, (noise(2, 5, 6),)),
    "whitened": (Whitened, (noise(6, 6),)),
    "rnnt": (RnnT, (noise(2, 6, 5), tokens(10, 2, 4))),
    "scattered": (Scattered, (noise(9, 6),)),
    "pooled": (Pooled, (picture(1, 3, 16, 16),)),
    "windowed": (Windowed, (noise(2, 12, 8),)),
    "detection": (Detection, (picture(1, 3, 16, 16),)),
    "rotary2d": (Rotary2d, (noise(2, 6, 16),)),
    "kan": (Kan, (noise(4, 6) * 0.7,)),
    "crf": (Crf, (noise(2, 5, 5),)),
    "moving": (Moving, (noise(2, 4, 16),)),
}
