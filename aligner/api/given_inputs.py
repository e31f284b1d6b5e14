"""What a Python caller passes as inputs, as the items that feeding understands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aligner.inputs import InputItem, parse_input
from aligner.inputs.items import split_side


def input_items(inputs: Any) -> list[InputItem]:
    """Items for a dict (by name; "candidate.sr" for one side alone), a list in order, one value, or None."""
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return [_named(str(name), value) for name, value in inputs.items()]
    if isinstance(inputs, (list, tuple)):
        return [value if isinstance(value, InputItem) else _unnamed(value) for value in inputs]
    return [inputs if isinstance(inputs, InputItem) else _unnamed(inputs)]


def read_items(inputs: Any) -> list[InputItem]:
    """The same, files read: they are looked at before models are loaded.

    Raises InputError, or MissingFrameworkError where nobody reads such files.
    """
    from aligner.inputs.files import with_content

    items = input_items(inputs)
    return with_content(items) if items else items


def _unnamed(value: Any) -> InputItem:
    if isinstance(value, str):
        return parse_input(value)
    return InputItem(name=None, side=None, value=value)


def _named(name: str, value: Any) -> InputItem:
    value = Path(value) if isinstance(value, str) else value
    side, name = split_side(name)
    return InputItem(name=name, side=side, value=value)
