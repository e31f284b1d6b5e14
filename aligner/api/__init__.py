"""The library's front: ``compare``, ``capture``, ``inspect``, ``sweep``, ``vary``; the only place that wires the rooms.

Each command of the command line imports the module that it needs; the names here import them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aligner.api.front import Result, capture, compare, decode, fix, inspect, reproduce, sensitivity, sweep, vary

__all__ = ["Result", "capture", "compare", "decode", "fix", "inspect", "reproduce", "sensitivity", "sweep", "vary"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from aligner.api import front

        return getattr(front, name)
    raise AttributeError(f"module 'aligner.api' has no attribute {name!r}")
