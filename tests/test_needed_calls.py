"""A run with injections computes what its shown values need, and shows them as the run that computes all does."""

from __future__ import annotations

import numpy as np
import pytest

from aligner.adapters.base import FirstLook
from aligner.adapters.fed import not_given
from aligner.errors import InputError

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import aligner  # noqa: E402
from aligner.adapters.lazy_injection import LazyInjection  # noqa: E402
from aligner.adapters.pytorch_adapter.session import EagerSession  # noqa: E402


class _Residual(nn.Module):
    """Writes in place, and normalises."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.act, self.last = nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Linear(6, 4)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        y = self.second(x)
        y += x
        y = self.act(y)
        return self.last(y.mean((2, 3))), y.flatten(1).softmax(-1)


class _Views(nn.Module):
    """Writes through views of memory that others read."""

    def forward(self, x):
        h = x * 2
        first = h[:, 0]
        first += 1
        flat = h.view(h.shape[0], -1)
        h[:, 1:, 0] = 3.0
        positive = flat.relu()
        flat.mul_(0.5)
        room = torch.zeros_like(h)
        room[:, :2] = h[:, 1:] * 2
        a, b, c = room.transpose(1, 2).contiguous().unbind(2)
        return torch.stack([a, b * c, positive.sum(1)[:, None, None] + c], 1), h + room, torch.cat([flat, positive], 1)


class _Layers(nn.Module):
    """Layers of several results."""

    def __init__(self):
        super().__init__()
        self.table, self.long = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        h, (last, _) = self.long(self.table((x.abs() * 5).long().clamp(0, 19)[:, 0, 0]))
        g, weights = self.attention(h, h, h)
        best = g.topk(3, -1)
        return g + h + last.transpose(0, 1), best.values, best.indices, weights


class _Decides(nn.Module):
    """What is computed decides what is computed next, and of what size."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        h = self.layer(x).relu()
        if h.sum() > 0:
            h = h * 2
        some = h[h > 0.2].mean()
        many = int((h > 0.5).sum().item()) % 3 + 1
        return self.layer(h) * some, h[..., :many].sum(-1), (h > 1).nonzero().float().sum(0)


class _Draws(nn.Module):
    """Random numbers follow each other, whoever needs them."""

    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

    def forward(self, x):
        h = self.drop(self.layer(x))
        return self.layer(h + torch.rand_like(h)), functional.dropout(torch.bernoulli(h.sigmoid()), 0.1)


def _opened(module, x, *, spares):
    torch.manual_seed(0)
    session = EagerSession(module, device="cpu")
    session.first_look({"x": x}, FirstLook(budget=1 << 30, may_rehearse=spares))
    return session


def _shown(session, x, observe, put):
    torch.manual_seed(1)
    try:
        return [(tensor.value, tensor.array.tobytes()) for tensor in session.run({"x": x}, observe, put)]
    except aligner.AlignerError as error:
        return error.found


@pytest.mark.parametrize("kind", [_Residual, _Views, _Layers, _Decides, _Draws])
def test_a_run_shows_the_same_whatever_it_does_without(kind):
    torch.manual_seed(0)
    module, random = kind().train(kind is _Draws), np.random.default_rng(0)
    x = random.standard_normal((2, 3, 8, 8)).astype(np.float32)
    spares, computes_all = (_opened(module, x, spares=spares) for spares in (True, False))
    torch.manual_seed(0)
    known = {tensor.value: tensor.array for tensor in computes_all.run({"x": x})}
    values = list(known)
    for number in range(60):
        observe = random.choice(values, 1 + number % 3, replace=False)
        put = {}
        for value in random.choice(values, min(1 + number % 7, len(values)), replace=False):
            array = known[value]
            moved = (array + random.standard_normal(array.shape)).astype(array.dtype)
            put[value] = moved if array.dtype.kind == "f" else array
        assert _shown(spares, x, observe, put) == _shown(computes_all, x, observe, put), (observe, list(put))


def _computed(monkeypatch):
    from aligner.adapters.pytorch_adapter.recorder import Recorder

    words = []
    compute = Recorder._computed

    def counted(self, func, name, args, kwargs):
        words.append(name)
        return compute(self, func, name, args, kwargs)

    monkeypatch.setattr(Recorder, "_computed", counted)
    return words


def test_what_lies_before_what_is_put_in_is_not_computed(monkeypatch):
    x = np.ones((1, 3, 8, 8), np.float32)
    session = _opened(_Residual().eval(), x, spares=True)
    put = {tensor.value: tensor.array for tensor in session.run({"x": x}, ["second/conv2d.0", "act/relu.0"])}
    words = _computed(monkeypatch)
    assert [tensor.value for tensor in session.run({"x": x}, ["act/relu.1"], put)] == ["act/relu.1"]
    assert words == ["add_", "relu"]


def test_what_is_to_be_put_in_and_is_not_given_is_no_number():
    x = np.ones((1, 3, 8, 8), np.float32)

    def none(value):
        raise KeyError(value)

    put = LazyInjection(["second/conv2d.0"], none)
    with pytest.raises(InputError) as raised:
        list(_opened(_Residual().eval(), x, spares=True).run({"x": x}, ["act/relu.1"], put))
    assert str(raised.value) == str(not_given("second/conv2d.0"))


def test_a_module_that_goes_another_way_when_it_runs_again_is_compared_all_the_same():
    tables = {}

    class Remembers(nn.Sequential):
        def forward(self, x):
            if id(self) not in tables:  # as functools.cache does: nothing that the module holds
                tables[id(self)] = torch.arange(8.0) * 0 + 1
            return super().forward(x * 1.0 + 0.0)

    torch.manual_seed(0)
    one, other = (Remembers(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)) for _ in range(2))
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        other[0].weight[0] *= 1.5
    assert aligner.compare(one.eval(), other.eval(), np.ones((1, 8), np.float32)).verdict == "diverged"
