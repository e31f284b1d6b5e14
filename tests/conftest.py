"""Options and fixtures that every test may use."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden, which rewrites tests/golden with what is printed now."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden reports with what is printed now")
