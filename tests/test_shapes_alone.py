"""Rehearsals: shapes of a large model, told without running it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import aligner
from aligner.adapters import base
from aligner.adapters.base import FirstLook, OpenOptions
from aligner.errors import RehearsalError

torch = pytest.importorskip("torch")
from aligner.adapters.pytorch_adapter.adapter import PyTorchAdapter  # noqa: E402 - only where torch is there
from aligner.adapters.pytorch_adapter.hollow import StandIns  # noqa: E402
from aligner.adapters.torchscript_adapter.adapter import TorchScriptAdapter  # noqa: E402

_SCRIPT = """
import sys
import pytest
import torch
from aligner.adapters.torch_compiler import compiler_apart

hollow = torch.empty(2, 4, device="meta")
with compiler_apart():
    for found in (torch.nn.functional.leaky_relu(hollow), hollow.pow(2), torch.nn.functional.layer_norm(hollow, (4,))):
        assert found.shape == (2, 4)
    assert torch.relu(torch.nn.functional.conv2d(torch.empty(1, 2, 5, 5, device="meta"), hollow.new_empty(3, 2, 3, 3))
    ).shape == (1, 3, 3, 3)
    with pytest.raises(RuntimeError):
        torch.nn.functional.conv2d(torch.empty(1, 2, 5, 5, device="meta"), hollow.new_empty(3, 4, 3, 3))
assert not any(name.startswith(("torch._dynamo", "sympy")) for name in sys.modules)
import torch._dynamo
kernels = [k for k in vars(torch._refs.nn.functional).values() if hasattr(k, "__wrapped__")]
assert kernels and not any("__dynamo_disable" in vars(k.__wrapped__) for k in kernels)
assert torch._dynamo.disable(len) is not None
with compiler_apart():
    assert hasattr(sys.modules["torch._dynamo"], "optimize")
assert torch.nn.functional.leaky_relu(hollow).shape == (2, 4)
"""


_ASKING = """
import sys
import torch
from aligner.adapters.torch_compiler import compiler_apart

with compiler_apart():
    import torch._dynamo
    assert torch._dynamo.is_compiling() is False
    from torch.fx.experimental.symbolic_shapes import ShapeEnv, guard_or_false, sym_eq
    assert guard_or_false(True) is True and sym_eq((1, [2]), [1, (2,)]) is True and sym_eq((1,), (1, 2)) is False
    size = ShapeEnv().create_unbacked_symint()
    assert guard_or_false(size == 3) is False and not isinstance(sym_eq(size, 3), bool)
    import sympy
    assert isinstance(size.node.expr, sympy.Basic)
import torch._dynamo
assert torch._dynamo.is_compiling() is False and torch.compiler.is_compiling() is False
"""


def test_who_asks_for_the_compiler_gets_it():
    done = subprocess.run([sys.executable, "-c", _ASKING], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_compiler_is_neither_imported_nor_deceived():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


class Attending(torch.nn.Module):
    """Positions counted on the input's device, a mask, a scale stored as a number."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 8)
        self.places = torch.nn.Embedding(7, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = torch.nn.LayerNorm(8)
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.places(places)
        mask = torch.full((tokens.shape[1],) * 2, float("-inf"), device=x.device).triu(1)
        attended, _ = self.attention(x, x, x, attn_mask=mask, need_weights=False)
        return self.norm(x + attended * self.scale.item()) @ self.embedding.weight.t()


class Modulating(torch.nn.Module):
    """Weights computed from the input, activations in place, a convolution with groups, resizing."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.BatchNorm2d(6))
        self.style = torch.nn.Linear(6, 6)
        self.weight = torch.nn.Parameter(torch.randn(1, 4, 6, 3, 3))
        self.register_buffer("noise", torch.randn(1, 1, 8, 8))

    def forward(self, x):
        x = torch.nn.functional.leaky_relu(self.body(x), 0.2, inplace=True)
        style = self.style(x.mean((2, 3)))
        weight = self.weight * style[:, None, :, None, None]
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)[:, :, None, None, None]
        batch = x.shape[0]
        out = torch.nn.functional.conv2d(x.reshape(1, -1, 8, 8), weight.flatten(0, 1), padding=1, groups=batch)
        out = out.view(batch, 4, 8, 8) + self.noise
        return torch.nn.functional.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False).clamp_(-1, 1)


class Placing(torch.nn.Module):
    """Asks where its input is, and has it where it is already."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        x = x.to(self.weight.device).to("cpu").cpu().to(self.weight)
        if x.device != self.weight.device or x.device.type != "cpu" or x.is_meta or not x.is_cpu:
            x = x * 2
        return x @ self.weight.to(x) + torch.ones(4, device=x.device) + x.to(torch.float64).to(torch.float32)


_LONG = FirstLook(expected_bytes=1 << 40)


def _graph(module, feeds, expected_bytes):
    session = PyTorchAdapter().open(module.eval(), OpenOptions())
    look = FirstLook(expected_bytes=expected_bytes, may_rehearse=True)
    return session, session.first_look(feeds, look)[0]


@pytest.mark.parametrize(
    ("module", "feeds"),
    [
        (Attending(), {"tokens": np.arange(6).reshape(2, 3)}),
        (Modulating(), {"x": np.ones((2, 3, 8, 8), np.float32)}),
        (Placing(), {"x": np.ones((2, 4), np.float32)}),
    ],
    ids=["attending", "modulating", "placing"],
)
def test_a_rehearsal_shows_what_a_run_shows(module, feeds):
    session, rehearsed = _graph(module, feeds, 1 << 40)
    assert session._rehearsed(feeds, _LONG) is not None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    _, run = _graph(module, feeds, None)
    assert [node.name for node in rehearsed.nodes] == [node.name for node in run.nodes]
    assert rehearsed.nodes == run.nodes and rehearsed.outputs == run.outputs
    assert {name: (value.shape, value.dtype) for name, value in rehearsed.values.items()} == {
        name: (value.shape, value.dtype) for name, value in run.values.items()
    }
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Writing(torch.nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count.add_(x.mean())
        return x * self.count


def test_a_rehearsal_writes_to_nothing():
    module = Writing()
    session, _ = _graph(module, {"x": np.ones((2, 2), np.float32)}, 1 << 40)
    assert session._rehearsed({"x": np.ones((2, 2), np.float32)}, _LONG) is None
    assert module.count.item() == 0
    stand_ins = StandIns("cpu")
    with pytest.raises(RuntimeError, match="has data"), stand_ins.computing():
        torch.add(stand_ins.of(torch.ones(2)), 1, out=module.count)
    assert module.count.item() == 0


class Straying(torch.nn.Module):
    """Takes another way where its numbers lie in memory as no tensor without data does."""

    def forward(self, x):
        x = torch.relu(x)
        if x.data_ptr():
            x = x * 2
        return x + 1


def test_a_run_that_takes_another_way_is_noticed_and_the_graph_read_anew(monkeypatch):
    feeds = {"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}
    session, graph = _graph(Straying(), feeds, 1 << 40)
    assert not any(node.kind == "mul" for node in graph.nodes)
    with pytest.raises(RehearsalError):
        list(session.run(feeds))
    monkeypatch.setattr(base, "_LARGE", 0)
    result = aligner.compare(Straying().eval(), Straying().eval(), feeds)
    assert result.verdict == "aligned"
    assert any(pair.candidate.kind == "mul" for pair in result.comparison.pairs)


@pytest.mark.parametrize("script", [False, True])
def test_what_will_outgrow_its_room_is_not_kept_meanwhile(script):
    """Where another form of the model tells how much a run shows, no part of it stays until there is too much."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval()
    module, adapter = (torch.jit.script(module), TorchScriptAdapter()) if script else (module, PyTorchAdapter())
    session = adapter.open(module, OpenOptions())
    feeds = {session.signature.inputs[0].name: np.ones((1, 4), np.float32)}
    looks = [FirstLook(1 << 10, expected) for expected in (None, 1 << 10, 1 << 11)]
    assert [look.kept for look in looks] == [1 << 10, 1 << 10, 0]
    assert [adapter.open(module, OpenOptions()).first_look(feeds, look)[1] is not None for look in looks] == [
        True,
        True,
        False,
    ]
