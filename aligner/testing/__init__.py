"""What the author of an adapter needs to test it; imported only where tests run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aligner.testing.conformance import AdapterConformance

__all__ = ["AdapterConformance"]


def __getattr__(name: str) -> Any:
    """Import the suite on first use: it needs numpy."""
    if name == "AdapterConformance":
        from aligner.testing.conformance import AdapterConformance

        return AdapterConformance
    raise AttributeError(f"module 'aligner.testing' has no attribute {name!r}")
