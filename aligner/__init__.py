"""aligner: which node of a converted model diverges first, and why."""

from __future__ import annotations

__version__ = "0.2.0"

TYPE_CHECKING = False  # as typing has it, whose import would be half of ours
if TYPE_CHECKING:
    from typing import Any

    from aligner.api import Result, capture, compare, decode, fix, inspect, reproduce, sensitivity, sweep, vary
    from aligner.errors import AlignerError

__all__ = [
    "AlignerError",
    "Result",
    "__version__",
    "capture",
    "compare",
    "decode",
    "fix",
    "inspect",
    "reproduce",
    "sensitivity",
    "sweep",
    "vary",
]


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that ``import aligner`` stays cheap."""
    if name == "AlignerError":
        from aligner.errors import AlignerError

        return AlignerError
    if name in __all__:
        from aligner import api

        return getattr(api, name)
    raise AttributeError(f"module 'aligner' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
