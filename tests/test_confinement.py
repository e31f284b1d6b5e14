"""What the working process of a command gives up: the files it was not given, the network, memory, time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import command
import numpy as np
import pytest
from marks import requires_onnx, requires_torch

from aligner.execution.confinement import landlock_version

HOSTILE = Path(__file__).parent / "data" / "hostile"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

INSIDE = """
import os, pathlib, socket, sys, threading
from aligner.execution.confinement import Bounds, confine
folder = pathlib.Path(sys.argv[1])
confine(Bounds(reads=(folder / "given",), lists=(folder,), writes=(folder / "out",), **eval(sys.argv[2])))
def attempt(name, work):
    try:
        work(); print(name, "done")
    except Exception as error:
        print(name, type(error).__name__)
attempt("read", lambda: (folder / "given").read_bytes())
attempt("read other", lambda: (folder / "secret").read_bytes())
attempt("read passwd", lambda: pathlib.Path("/etc/passwd").read_bytes())
attempt("list", lambda: list(folder.iterdir()))
attempt("write", lambda: (folder / "out" / "x").write_text("x"))
attempt("write other", lambda: (folder / "y").write_text("x"))
attempt("overwrite", lambda: (folder / "given").write_text("x"))
attempt("import", lambda: __import__("decimal"))
attempt("socket", lambda: socket.socket())
thread = threading.Thread(target=lambda: attempt("socket in a thread", lambda: socket.socket(socket.AF_UNIX)))
thread.start(); thread.join()
attempt("memory", lambda: bytearray(1 << 30))
"""


def attempts(folder: Path, bounds: str) -> dict[str, str]:
    (folder / "out").mkdir()
    (folder / "given").write_text("given")
    (folder / "secret").write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, str(folder), bounds], capture_output=True, text=True, cwd="/", env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.skipif(landlock_version() == 0, reason="the kernel offers no Landlock")
def test_what_is_left(tmp_path):
    assert attempts(tmp_path, "{'memory': 1 << 29}") == {
        "read": "done",
        "read other": "PermissionError",
        "read passwd": "PermissionError",
        "list": "done",
        "write": "done",
        "write other": "PermissionError",
        "overwrite": "PermissionError",
        "import": "done",
        "socket": "PermissionError",
        "socket in a thread": "PermissionError",
        "memory": "MemoryError",
    }


def test_what_nobody_takes_is_left(tmp_path):
    assert set(attempts(tmp_path, "{'files': False, 'network': False}").values()) == {"done"}


@pytest.fixture
def folder(tmp_path):
    for file in HOSTILE.iterdir():
        shutil.copy(file, tmp_path)
    np.save(tmp_path / "x3.npy", np.ones(3, np.float32))
    return tmp_path


@requires_onnx
@requires_torch
@pytest.mark.parametrize("file", ["loop_forever.onnx", "ts_loop_forward.pt"])
def test_a_model_that_never_ends(folder, file):
    inputs = ("-i", "x3.npy") if file.endswith(".pt") else ()
    outcome = command.run(folder, "capture", file, *inputs, "-o", "o.npz", "--timeout", "6")
    command.checked(outcome, "the time limit was reached while", "--timeout")


@requires_onnx
@requires_torch
@pytest.mark.parametrize("file", ["expand.onnx", "ts_memory.pt", "onnx_draw_memory.onnx"])
def test_a_model_that_asks_for_more_than_there_is(folder, file):
    inputs = ("-i", "x3.npy") if file.endswith(".pt") else ()
    outcome = command.run(folder, "capture", file, *inputs, "-o", "o.npz", "--process-memory", "2G", cold=True)
    command.checked(outcome)


@requires_onnx
@pytest.mark.skipif(landlock_version() == 0, reason="the kernel offers no Landlock")
def test_a_trusted_script_may_do_what_others_may_not(folder):
    """``--trust`` lifts the check of a script's code and the confinement; one without it meets both."""
    outcome = command.run(folder, "capture", "ts_write_forward.pt", "-i", "x3.npy", "-o", "o.npz")
    command.checked(outcome, "aten::save")


@requires_onnx
def test_commands_work_confined(folder):
    outputs = ("--json", "r.json", "--html", "sub/r.html", "--csv", "r.csv", "--save-map", "map.csv")
    (folder / "sub").mkdir()
    outcome = command.run(folder, "compare", "hostile_names.onnx", "hostile_names.onnx", *outputs)
    assert outcome.code == 0, outcome
    assert {"r.json", "sub/r.html", "r.csv", "map.csv"} <= set(command.files(folder))
    assert command.run(folder, "report", "r.json", "--markdown", "r.md").code == 0
    missing = command.run(folder, "inspect", "hostile_name.onnx")
    command.checked(missing, "did you mean hostile_names.onnx")


def test_adapters_say_what_is_confined(folder):
    outcome = command.run(folder, "adapters")
    assert "working process" in outcome.out
    assert "files: " in outcome.out
    assert "network: " in outcome.out


@requires_torch
def test_nothing_asks_for_the_network(folder):
    (folder / "factory.py").write_text("from torch import nn\ndef build(): return nn.Linear(3, 3)\n")
    refusing = (
        "import socket\ndef refuse(*_, **__): raise AssertionError('a socket')\nsocket.socket.__init__ = refuse\n"
    )
    words = ("compare", "factory.py:build", "factory.py:build", "-i", "x3.npy")
    outcome = command.run(folder, *words, code=refusing + command.CODE)
    assert outcome.code in (0, 1), outcome
    assert "socket" not in outcome.out + outcome.err


def test_other_machines_are_not_asked_for(no_other_machine):
    """What holds for every test: an address beyond this machine is refused, and told."""
    import socket

    for host in ("192.0.2.1", "example.invalid"):
        with pytest.raises(OSError, match="another machine"):
            socket.create_connection((host, 9), timeout=1)
    assert len(no_other_machine) >= 2
    no_other_machine.clear()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
