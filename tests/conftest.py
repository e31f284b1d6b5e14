"""Options and fixtures that every test may use."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ["pytester"]

if "PYTEST_XDIST_WORKER" in os.environ:  # there is a worker for each core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# OpenVINO's converter forks this process some 17 times for each model, to tell of it; without the package it does not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden, which rewrites tests/golden with what is printed now."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden reports with what is printed now")


@pytest.fixture(autouse=True)
def no_cause_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A cause that raises anything but Unsupported is left out of a report and logged; here that fails the test."""
    yield
    failed = [record for record in caplog.get_records("call") if record.name == "aligner.causes"]
    assert not failed, "\n".join(
        f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}" for record in failed
    )


@pytest.fixture(autouse=True)
def no_other_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Nothing that is tested reaches, or asks for the address of, another machine; notebooks and browsers are here.

    Holds for this process; .ci/offline holds for those that it starts, too.
    """
    asked: list[object] = []
    look_up = socket.getaddrinfo

    def refusing(name: str) -> Any:
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
                asked.append(address)
                raise OSError(f"{address} is another machine")
            return real(self, address)

        return connect

    def found(host: Any, *rest: Any, **named: Any) -> Any:
        if not _is_here(host):
            asked.append(host)
            raise socket.gaierror(f"{host} is another machine")
        return look_up(host, *rest, **named)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refusing(name))
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield asked
    assert not asked, f"other machines were asked for: {asked}"


def _is_here(host: str | bytes | None) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(text)).is_loopback or str(text) == "0.0.0.0"
    except ValueError:
        return False
