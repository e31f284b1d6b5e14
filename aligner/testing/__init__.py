"""What tests use: ``assert_aligned`` for models, the conformance suite for adapters; imported only where tests run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aligner.testing.assertion import NotAlignedError, assert_aligned
    from aligner.testing.conformance import AdapterConformance

__all__ = ["AdapterConformance", "NotAlignedError", "assert_aligned"]

_HOMES = {
    "AdapterConformance": "aligner.testing.conformance",
    "NotAlignedError": "aligner.testing.assertion",
    "assert_aligned": "aligner.testing.assertion",
}


def __getattr__(name: str) -> Any:
    """Import on first use: numpy and the printers are not needed by whoever only collects tests."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'aligner.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
