"""Models for the TorchScript adapter's tests; TorchScript reads annotations, so they are not postponed here."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere


class Restorer(nn.Module):
    """Convolutions, in-place ops, views, an upsampling branch, chunks, tuple and list outputs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        y = self.act(self.norm(self.conv(x)))
        z = y + F.interpolate(F.avg_pool2d(y, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        z += 1
        a, b = F.leaky_relu(self.up(z), 0.2).chunk(2, 1)
        pooled = torch.cat([a, b * 2], 1).mean([2, 3])
        return self.fc(pooled), [torch.flatten(z, 1), pooled]


class Streaming(nn.Module):
    """State in attributes and buffers, a scalar input, branches, a loop, an optional input, a dict of lists."""

    state: torch.Tensor
    history: list[torch.Tensor]

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 3)
        self.state = torch.zeros(0)
        self.history = []
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x, rate: int, bias: torch.Tensor | None = None) -> dict[str, list[torch.Tensor]]:
        if rate not in [8, 16]:
            raise ValueError("unsupported rate")
        if self.state.numel() == 0:
            self.state = torch.zeros(2, 1, 3)
        self.count.add_(1)
        h, c = self.cell(x, (self.state[0], self.state[1]))
        self.state = torch.stack([h, c])
        self.history.append(h)
        if bias is not None:
            h = h + bias
        grown = [h]
        for _ in range(rate // 8):
            h = torch.tanh(h * 2 + self.count)
            if bool(h.sum() > 100):
                h = h / 2
            grown.append(h)
        return {"grown": grown, "length": [torch.tensor([float(len(self.history))])]}


class Loops(nn.Module):
    def forward(self, x, n: int = 2):
        for i in range(n):
            x = torch.tanh(x) + i
            x.clamp_(-1, 1)
        return x


class Alias(nn.Module):
    def forward(self, x):
        y = x * 2
        view = y.view(-1)
        y.relu_()
        return y + 1, view + 1


class Assigns(nn.Module):
    def forward(self, x):
        y = x * 2
        y[:, 0] = 7.0
        return y + 1


class Branches(nn.Module):
    def forward(self, x):
        y = torch.relu_(x * 2)
        return y.view(-1) + 1, y + 1


class Late(nn.Module):
    def forward(self, x):
        y = x * 2
        y[:, 0] = 7.0
        return y


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor, hidden: tuple[torch.Tensor, torch.Tensor]):
        y, hidden = self.lstm(x, hidden)
        return y, hidden


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Sizes(nn.Module):
    def forward(self, x):
        return x.view(x.shape[0], x.shape[1] * 2 // 2) * 2


class Half(nn.Module):
    def forward(self, x):
        return (x.to(torch.bfloat16) * 3).float()


@torch.jit.interface
class Doubler(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pass


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Uses(nn.Module):
    part: Doubler

    def __init__(self):
        super().__init__()
        self.part = Twice()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        pending = torch.jit.fork(self.linear, x)
        return self.part.forward(x) + torch.jit.wait(pending)


def total(xs: list[torch.Tensor]):
    return torch.stack(xs).sum(0)


def both(x, y: float):
    return x.relu() * y + x


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.inner = nn.Linear(channels, channels)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.relu(self.inner(x)) * self.gain


class Pyramid(nn.Module):
    """Two module lists, and a Python list that is inserted into, replaced in, extended and indexed."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([Block(4), Block(4)])
        self.up = nn.ModuleList([Block(4), Block(4)])

    def forward(self, x):
        features: list[torch.Tensor] = []
        sizes: list[int] = []
        for block in self.down:
            x = block(x)
            features.insert(0, x)
            sizes.append(x.size(1))
        if len(sizes) > 1:
            x = x + 1
        features[1] = torch.sigmoid(features[1])
        features.extend([x])
        for i, block in enumerate(self.up):
            x = block(x) + features[i]
        return x, features
