"""The whole command on models that take their process with them."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import command
import numpy as np
import pytest
from marks import requires_torch

from tests.warm_process import WarmProcess

pytestmark = [requires_torch, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")]

MODELS = """
import ctypes, os, pathlib, sys, time
import torch

print("printed while importing")

class Network(torch.nn.Module):
    end = ""
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 3)
    def forward(self, x):
        print("printed in forward")
        y = self.layer(x)
        if self.end == "crash":
            ctypes.string_at(0)
        if self.end == "wait":
            pathlib.Path("ready").touch()
            time.sleep(30)
        if self.end == "exit":
            os._exit(0)
        if self.end == "leave":
            sys.exit(0)
        return y

class Exiting(Network):
    end = "exit"

class Leaving(Network):
    end = "leave"

class Crashing(Network):
    end = "crash"

class Waiting(Network):
    end = "wait"

class Parting(Network):
    def __del__(self):
        os.abort()

def fine(): return Network().eval()
def exiting(): return Exiting().eval()
def leaving(): return Leaving().eval()
def crashing(): return Crashing().eval()
def waiting(): return Waiting().eval()
def parting(): return Parting().eval()
def dying(): os.kill(os.getpid(), 9)
"""


INPUTS = ("models.py", "x.npy", "ready", "__pycache__")


def align(tmp_path, *arguments: str) -> subprocess.Popen[str] | WarmProcess:
    tmp_path.joinpath("models.py").write_text(MODELS)
    np.save(tmp_path / "x.npy", np.array([[1, -2, 0.5]], np.float32))
    return command.start(tmp_path, *arguments, "--input", "x.npy")


def leftovers(tmp_path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in INPUTS)


@pytest.mark.parametrize(
    ("reference", "candidate", "died", "where"),
    [
        ("fine", "crashing", "SIGSEGV", "the candidate, models.py:crashing"),
        ("crashing", "fine", "SIGSEGV", "the reference, models.py:crashing"),
        ("fine", "dying", "SIGKILL", "loading the candidate, models.py:dying"),
        ("fine", "parting", "SIGABRT", ""),
    ],
)
def test_a_crash_leaves_no_half_report(tmp_path, reference, candidate, died, where):
    process = align(tmp_path, "compare", f"models.py:{reference}", f"models.py:{candidate}", "--json", "report.json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"error: the working process died ({died}")
    assert where in err.splitlines()[0]
    assert "Traceback" not in err
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("reference", "candidate", "where"),
    [
        ("fine", "exiting", "the candidate, models.py:exiting"),
        ("exiting", "fine", "the reference, models.py:exiting"),
        ("fine", "leaving", "the candidate models.py:leaving"),
        ("leaving", "fine", "the reference models.py:leaving"),
    ],
)
def test_a_model_that_ends_the_process_is_not_aligned(tmp_path, reference, candidate, where):
    process = align(tmp_path, "compare", f"models.py:{reference}", f"models.py:{candidate}", "--json", "report.json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert where in err.splitlines()[0]
    assert "exit" in err.splitlines()[0]
    assert "bug" not in err
    assert leftovers(tmp_path) == []


def test_only_json_on_standard_output(tmp_path):
    import json

    process = align(tmp_path, "compare", "models.py:fine", "models.py:fine", "--json", "-")
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["format"] == "aligner.comparison/1"
    assert "printed" not in err
    assert leftovers(tmp_path) == []


def test_interrupting_a_model(tmp_path):
    process = align(tmp_path, "compare", "models.py:fine", "models.py:waiting", "--json", "report.json")
    end = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.strip().startswith("error: interrupted")
    assert leftovers(tmp_path) == []
