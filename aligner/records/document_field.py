"""What the fields of records say of themselves: how JSON holds them, how a report calls and prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLAT: Mapping[str, Any] = {"flat": True}
"""The fields of the record that this field holds stand among those of its owner."""

WHEN_SET: Mapping[str, Any] = {"when_set": True}
"""Left out of a document where the field has its default."""

NOT_WRITTEN: Mapping[str, Any] = {"written": False}
"""No part of a document."""


def statistic(label: str, *, digits: int = 4, importance: int = 0, share: bool = False) -> Mapping[str, Any]:
    """A number that reports print under a label: significant digits, or a share of the elements.

    The least important ones (the greatest numbers) are left out where space is short.
    """
    return {"label": label, "digits": digits, "importance": importance, "share": share}
