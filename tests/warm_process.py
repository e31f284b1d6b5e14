"""Processes that start with the frameworks loaded: forks of one that has imported them, and runs nothing else.

``python -m tests.warm_process FD`` is that one: it serves the socket FD until its other end is closed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("numpy", "torch", "onnx", "onnxruntime", "rich.table", "yaml", "jinja2", "PIL.Image")
ROOMS = ("cli", "api", "report", "causes", "judgement", "execution", "regions", "alignment", "operations", "numerics")
ADAPTERS = ("pytorch_adapter", "torchscript_adapter", "onnx_adapter", "recording_adapter", "aten_translation")


class WarmProcess:
    """A process like ``subprocess.Popen``'s: ``python -c code words…``, with the modules loaded already."""

    def __init__(self, code: str, words: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.returncode: int | None = None
        pipes = [os.pipe() for _ in range(3)]
        request = json.dumps([code, words, str(cwd), dict(env)]).encode()
        _server().sendall(len(request).to_bytes(8, "big"))
        socket.send_fds(_server(), [request[:1]], [write for _, write in pipes])
        _server().sendall(request[1:])
        for _, write in pipes:
            os.close(write)
        out, err, status = (os.fdopen(read, encoding="utf-8", newline=None) for read, _ in pipes)
        self.pid = int(status.readline())
        self._told: dict[str, str] = {}
        streams = {"out": out, "err": err, "status": status}
        self._readers = [threading.Thread(target=self._read, args=one, daemon=True) for one in streams.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream) -> None:
        with stream:
            self._told[name] = stream.read()

    def poll(self) -> int | None:
        if self.returncode is None and "status" in self._told:
            self.returncode = int(self._told["status"])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        for reader in reversed(self._readers):
            reader.join(timeout)
            if reader.is_alive():
                self.kill()
                raise subprocess.TimeoutExpired("align", timeout or 0)
        self.poll()
        return self._told["out"], self._told["err"]


_processes: list[subprocess.Popen[bytes]] = []


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-m", "tests.warm_process", str(theirs.fileno())]
    env = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    _processes.append(subprocess.Popen(words, cwd=ROOT, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL))
    theirs.close()
    return ours


def _load() -> None:
    import gc
    import importlib
    import pkgutil

    for name in FRAMEWORKS:
        with suppress(Exception):  # whoever needs it says what is wrong
            importlib.import_module(name)
    for room in (*ROOMS, *(f"adapters.{name}" for name in ADAPTERS)):
        package = importlib.import_module(f"aligner.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(Exception):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page of ours


def _serve(asked: socket.socket) -> str:
    """Fork for each request; returns in the child, with the code that it is to run."""
    while head := asked.recv(8, socket.MSG_WAITALL):
        first, descriptors, _, _ = socket.recv_fds(asked, 1, 3)
        request = first + asked.recv(int.from_bytes(head, "big") - 1, socket.MSG_WAITALL)
        watcher = os.fork()
        if watcher == 0:
            asked.close()
            out, err, status = descriptors
            child = os.fork()
            if child == 0:
                os.close(status)
                return _become(*json.loads(request), out, err)
            os.write(status, f"{child}\n".encode())
            os.close(out), os.close(err)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(status, str(code).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    os._exit(0)


def _become(code: str, words: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> str:
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    sys.argv[:] = ["-c", *words]
    sys.path[0] = ""
    return code


def main() -> None:
    """Serve; in a child, run what was asked for and leave as Python would, but for unloading the frameworks."""
    _load()
    code: object = 0
    try:
        exec(_serve(socket.socket(fileno=int(sys.argv[1]))), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    main()
