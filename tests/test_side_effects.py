"""The library leaves the process as it found it: random numbers, garbage collector, allocator, modules, environment."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

import aligner
from aligner.execution import memory

torch = pytest.importorskip("torch")


class Noisy(torch.nn.Module):
    """Draws random numbers of each library while it runs."""

    def forward(self, x):
        """A little noise that a seed repeats."""
        return x * (1 + random.random() + float(np.random.rand())) + torch.rand(x.shape)


def _generators():
    state = np.random.get_state()
    return random.getstate(), (state[0], state[1].tobytes(), *state[2:]), torch.get_rng_state().numpy().tobytes()


VERBS = {
    "compare": lambda path: aligner.compare(Noisy(), Noisy(), torch.rand(2, 3)),
    "compare without local errors": lambda path: aligner.compare(Noisy(), Noisy(), torch.rand(2, 3), local="never"),
    "compare with a probe": lambda path: aligner.compare(Noisy(), Noisy(), torch.rand(2, 3), probe=True),
    "capture": lambda path: aligner.capture(Noisy(), path / "noisy.npz", torch.rand(2, 3)),
    "inspect": lambda path: aligner.inspect(Noisy(), torch.rand(2, 3)),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_generators_go_on_where_they_stood(verb, tmp_path):
    tensor = torch.rand(2, 3)
    random.seed(11), np.random.seed(12), torch.manual_seed(13)
    torch_rand, torch.rand = torch.rand, lambda *a: tensor if a == (2, 3) else torch_rand(*a)
    try:
        before = _generators()
        verb(tmp_path)
    finally:
        torch.rand = torch_rand
    assert _generators() == before


def test_generators_are_left_after_an_error():
    before = _generators()
    with pytest.raises(aligner.errors.AlignerError):
        aligner.compare("nowhere.onnx", "nowhere.tflite")
    assert _generators() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled):
    tensor, was = torch.ones(2, 3), gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        thresholds = gc.get_threshold()
        aligner.compare(torch.nn.ReLU(), torch.nn.ReLU(), tensor)
        assert (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()) == (enabled, 0, thresholds)
        gc.freeze()
        frozen = gc.get_freeze_count()
        aligner.compare(torch.nn.ReLU(), torch.nn.ReLU(), tensor)
        assert gc.isenabled() == enabled
        assert 0 <= frozen - gc.get_freeze_count() < 0.1 * frozen  # what dies leaves the frozen generation as well
    finally:
        gc.unfreeze()
        (gc.enable if was else gc.disable)()


def test_the_allocator_is_the_commands_business(monkeypatch):
    monkeypatch.setattr(memory, "keep_pages", lambda: pytest.fail("the library tunes the allocator"))
    aligner.compare(torch.nn.ReLU(), torch.nn.ReLU(), torch.ones(2, 3))


def test_modules_threads_environment_and_settings_are_left():
    tensor = torch.ones(2, 3)
    aligner.compare(torch.nn.ReLU(), torch.nn.ReLU(), tensor)  # whatever is imported is imported now
    modules, environment = dict(sys.modules), dict(os.environ)
    settings = _settings()
    aligner.compare(torch.nn.ReLU(), torch.nn.ReLU(), tensor)
    assert {n: m for n, m in sys.modules.items() if modules.get(n) is not m} == {}
    assert modules.keys() == sys.modules.keys() and environment == dict(os.environ)
    assert settings == _settings()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("aligner") and not t.daemon]


def _settings():
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        np.geterr(),
        sys.getrecursionlimit(),
        sys.excepthook,
        sys.stdout,
    )


_FRESH = """
import sys
import torch
state = torch.get_rng_state()
import aligner
before = {n: m for n, m in sys.modules.items()}
aligner.compare(torch.nn.LeakyReLU(), torch.nn.LeakyReLU(), torch.ones(2, 3))
assert torch.equal(state, torch.get_rng_state())
assert all(sys.modules.get(n) is m for n, m in before.items())
assert not [n for n, m in sys.modules.items() if type(m).__module__.startswith("aligner")]
import torch._dynamo
assert sys.modules["torch._dynamo"].__file__
assert aligner.capture.__module__ == "aligner.api.capturing" and "capture" not in vars(aligner)
"""


def test_a_fresh_process_keeps_its_modules_and_its_seed():
    done = subprocess.run([sys.executable, "-c", _FRESH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
