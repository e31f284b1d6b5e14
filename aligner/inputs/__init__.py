"""From what the user gave to what each side is fed; see `prepare_feeds`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aligner.inputs.feeding import prepare_feeds
    from aligner.inputs.items import InputItem, PreparedFeeds, Preprocessing, SideInfo, parse_input

__all__ = ["InputItem", "PreparedFeeds", "Preprocessing", "SideInfo", "parse_input", "prepare_feeds"]


def __getattr__(name: str) -> object:
    """Load on first use: parsing a command line needs neither numpy nor a decoder."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "feeding" if name == "prepare_feeds" else "items"
    return getattr(import_module(f"{__name__}.{module}"), name)
