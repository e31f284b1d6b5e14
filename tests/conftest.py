"""Options and fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest_plugins = ["pytester"]


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
