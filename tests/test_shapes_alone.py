"""Rehearsals: shapes of a large model, told without running it."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

_SCRIPT = """
import sys
import torch
from aligner.adapters.torchscript_adapter.uncompiled import uncompiled

hollow = torch.empty(2, 4, device="meta")
with uncompiled():
    for found in (torch.nn.functional.leaky_relu(hollow), hollow.pow(2), torch.nn.functional.layer_norm(hollow, (4,))):
        assert found.shape == (2, 4)
assert "torch._dynamo" not in sys.modules
import torch._dynamo
kernels = [k for k in vars(torch._refs.nn.functional).values() if hasattr(k, "__wrapped__")]
assert kernels and not any("__dynamo_disable" in vars(k.__wrapped__) for k in kernels)
assert torch._dynamo.disable(len) is not None
with uncompiled():
    assert hasattr(sys.modules["torch._dynamo"], "optimize")
assert torch.nn.functional.leaky_relu(hollow).shape == (2, 4)
"""


def test_the_compiler_is_neither_imported_nor_deceived():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
