"""Systems without fork, Landlock, /proc or Unix's signals, each played here by taking these away."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import command
import pytest
from marks import requires_onnx

HOSTILE = Path(__file__).parent / "data" / "hostile"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="plays other systems on Linux")

WITHOUT = """
import builtins, ctypes, io, os, pathlib, signal, sys, tempfile, subprocess, threading, multiprocessing, socket
class NoLibrary(ctypes.CDLL):
    def __init__(self, name, *rest, **named):
        if name is None:
            raise TypeError("bad argument type for built-in operation")
        super().__init__(name, *rest, **named)
def without(module, *names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
def refusing(real):
    def opened(path, *rest, **named):
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path, *rest, **named)
    return opened
builtins.open = refusing(builtins.open); io.open = refusing(io.open)
"""
WINDOWS = """
without(os, "fork", "getuid", "geteuid", "statvfs", "mkfifo", "O_CLOEXEC", "O_PATH", "sysconf", "killpg", "setsid")
without(signal, "SIGHUP", "SIGALRM", "SIGKILL", "SIGCHLD", "pthread_sigmask", "setitimer", "alarm", "ITIMER_REAL")
for name in ("fcntl", "resource", "pwd", "termios"):
    sys.modules[name] = None
ctypes.CDLL = NoLibrary
sys.platform = "other"
"""
MACOS = """
without(os, "O_PATH")
sys.platform = "darwin"
"""
SYSTEMS = {"windows": WITHOUT + WINDOWS, "macos": WITHOUT + MACOS}


@pytest.fixture(params=SYSTEMS)
def align(request, tmp_path):
    for file in HOSTILE.iterdir():
        shutil.copy(file, tmp_path)

    def run(*words: str) -> command.Outcome:
        return command.run(tmp_path, *words, code=SYSTEMS[request.param] + command.CODE)

    return run


@requires_onnx
def test_commands_work(align, tmp_path):
    outcome = align("compare", "hostile_names.onnx", "hostile_names.onnx", "--json", "r.json", "--html", "r.html")
    assert outcome.code == 0, outcome
    assert (tmp_path / "r.json").exists()
    assert (tmp_path / "r.html").exists()
    assert align("capture", "hostile_names.onnx", "-o", "o.npz").code == 0
    assert not list(tmp_path.glob("aligner-*"))


@requires_onnx
def test_bad_files_are_answered(align):
    command.checked(align("inspect", "fnbomb.onnx"), "unfold to more than")
    command.checked(align("compare", "hostile_names.onnx", "missing.onnx"), "does not exist")
    command.checked(align("inspect", "hostile_names.onnx", "--json", "hostile_names.onnx"), "overwrite")


def test_what_is_not_confined_is_said(align):
    outcome = align("adapters")
    assert outcome.code == 0, outcome
    assert "files" in outcome.out
