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
        if field.type not in (_STRING, _MESSAGE):
            continue
        items = [value] if isinstance(value, (str, bytes)) or hasattr(value, "DESCRIPTOR") else value
        for item in items:
            if isinstance(item, bytes) or (field.type == _MESSAGE and _is_broken(item)):
                return True
    return False
