"""A comparison in a process of its own: its result is the same, and a runtime that dies takes nobody along."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from marks import requires_onnx

import aligner
from aligner.errors import ComparisonError, CrashError, ModelNotFoundError
from aligner.execution.confinement import landlock_version
from aligner.execution.needs import needed
from aligner.execution.own_process import Records, in_own_process
from aligner.records.regular_file import read_regular
from aligner.testing import assert_aligned

torch = pytest.importorskip("torch")

_MODELS = """
import os, signal
import torch

class Net(torch.nn.Module):
    def __init__(self, end=None):
        super().__init__()
        torch.manual_seed(3)
        self.layer, self.end = torch.nn.Linear(4, 3), end

    def forward(self, x):
        if self.end is not None:
            self.end()
        return self.layer(x)

def good():
    return Net().eval()

def dying():
    return Net(lambda: os.kill(os.getpid(), signal.SIGSEGV)).eval()

def leaving():
    return Net(lambda: os._exit(0)).eval()
"""


@pytest.fixture
def models(tmp_path):
    file = tmp_path / "models.py"
    file.write_text(_MODELS)
    return lambda name: f"{file}:{name}"


X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def test_the_result_is_the_same(models):
    pair = models("good"), models("good")
    alone, here = aligner.compare(*pair, X, isolated=True), aligner.compare(*pair, X)
    assert alone.verdict == here.verdict == "aligned"
    assert alone.comparison.pairs == here.comparison.pairs


def test_live_modules_are_handed_over():
    module = torch.nn.Linear(4, 3)
    assert aligner.compare(module, module, X, isolated=True).verdict == "aligned"


def test_a_death_is_an_error_that_says_where(models):
    with pytest.raises(CrashError) as caught:
        aligner.compare(models("good"), models("dying"), X, isolated=True)
    assert "SIGSEGV" in caught.value.what and "candidate" in caught.value.what
    assert "models.py" in caught.value.found


def test_leaving_is_no_verdict(models):
    with pytest.raises(CrashError, match="told to exit"):
        assert_aligned(models("good"), models("leaving"), X, isolated=True)


def test_errors_come_as_they_are(models, tmp_path):
    with pytest.raises(ModelNotFoundError) as caught:
        aligner.compare(models("good"), tmp_path / "nowhere.onnx", X, isolated=True)
    assert caught.value.hint


def test_what_cannot_be_handed_over_is_said():
    module = torch.nn.Linear(4, 3)
    module.hook = lambda: None
    with pytest.raises(ComparisonError, match="handed"):
        aligner.compare(module, module, X, isolated=True)


def test_any_function_of_a_module_can_be_run_so():
    assert in_own_process(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        in_own_process(divmod, 7, 0)


confines = pytest.mark.skipif(sys.platform != "linux" or not landlock_version(), reason="the kernel offers no Landlock")


@confines
def test_files_are_compared_with_no_others_in_reach(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "m.pt").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"123")
    named = {"device": "cpu", "provider": None, "trust": False}
    bounds = needed([tmp_path / "there" / "m.pt"], (), **named)
    assert in_own_process(read_regular, tmp_path / "there" / "m.pt", bounds=bounds) == b"1"
    with pytest.raises(PermissionError):
        in_own_process(read_regular, tmp_path / "secret", bounds=bounds)
    own = [needed(models, (), **named) for models in ([torch.nn.ReLU()], ["m.py:build"])]
    own.append(needed([tmp_path / "there" / "m.pt"], (), **named | {"trust": True}))
    assert not any(one.files or one.network for one in own)


@confines
@requires_onnx
def test_a_confined_comparison_is_the_same(tmp_path):
    from onnx_models import chain

    path = tmp_path / "m.onnx"
    path.write_bytes(chain().SerializeToString())
    alone, here = aligner.compare(path, path, isolated=True), aligner.compare(path, path)
    assert alone.comparison.pairs == here.comparison.pairs
    assert alone.comparison.previews == here.comparison.previews


@pytest.mark.parametrize("name", ["os.system", "aligner.records.progress.Board", "aligner.errors.listing"])
def test_what_a_confined_process_answers_calls_nothing(name):
    import io
    from importlib import import_module

    module, word = name.rsplit(".", 1)

    class Evil:
        def __reduce__(self):
            return getattr(import_module(module), word), ("x",)

    with pytest.raises(pickle.UnpicklingError):
        Records(io.BytesIO(pickle.dumps((True, Evil())))).load()
    assert not Path("x").exists()


def test_what_a_killed_owner_left_is_swept_by_the_next(tmp_path):
    code = (
        "import os, signal; from aligner.execution.own_process import OwnProcess;"
        "process = OwnProcess(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=60)
    assert list(tmp_path.iterdir())
    code = "from aligner.execution.own_process import OwnProcess; OwnProcess().close()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert not list(tmp_path.iterdir())
