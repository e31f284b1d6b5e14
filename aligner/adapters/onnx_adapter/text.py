"""Names in damaged files: protobuf hands out bytes, or raises, where a text is no UTF-8."""

from __future__ import annotations

from typing import Any

_STRING = 9
_MESSAGE = 11
"""FieldDescriptor.type."""


def has_broken_text(message: Any) -> bool:
    """Whether any text in a message is not UTF-8; tensors are looked at by name only, not by content."""
    try:
        return _is_broken(message)
    except UnicodeDecodeError:
        return True


def _is_broken(message: Any) -> bool:
    if message.DESCRIPTOR.name == "TensorProto":
        return not isinstance(message.name, str) or any(_is_broken(entry) for entry in message.external_data)
    for field, value in message.ListFields():
        kind = field.type
        if kind == _STRING and not isinstance(value, str):
            if isinstance(value, bytes) or any(isinstance(item, bytes) for item in value):
                return True
        elif kind == _MESSAGE and any(map(_is_broken, [value] if hasattr(value, "DESCRIPTOR") else value)):
            return True
    return False
