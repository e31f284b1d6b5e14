"""The JSON Schema of ``aligner.comparison/1``, made from the records: ``python -m aligner.report.schema``.

A field's type gives the type of its key, a record's docstring its description. A number may always be null: JSON has
no NaN and no infinity. What has a default is not required, so that reports of earlier versions stay valid.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from aligner.records.comparison import Comparison
from aligner.records.preview import Picture
from aligner.report.codec import Document
from aligner.report.json_document import FORMAT, RENAMED, UNPAIRED

_PLAIN: Mapping[Any, str] = {int: "integer", str: "string", bool: "boolean"}
_NUMBER: Mapping[str, Any] = {"type": ["number", "null"]}
_NEW = frozenset({"inputs", "notes", "timing", "command"})
"""Keys with a default that every report of this format has had from the first."""


def comparison_schema() -> Document:
    """The schema, with a definition for each kind of record."""
    definitions: dict[str, Document] = {}
    body = _record(Comparison, definitions)
    properties, required = body["properties"], body["required"]
    for name, other in RENAMED.items():
        properties[other] = properties.pop(name)
    sides = {side: properties.pop(field) for side, field in UNPAIRED.items()}
    properties["unpaired"] = {"type": "object", "required": list(sides), "properties": sides}
    kept = [name for name in required if name not in UNPAIRED.values()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": FORMAT,
        "title": FORMAT,
        "description": "What align compare --json writes. Keys are added by later versions, and never change their "
        "meaning. A number that is not finite is null; the counts nan and inf of a side say why.",
        "type": "object",
        "required": ["format", *kept, "unpaired", *sorted(_NEW)],
        "properties": {"format": {"const": FORMAT}, **properties},
        "$defs": dict(sorted(definitions.items())),
    }


def _record(record: type[Any], definitions: dict[str, Document]) -> Document:
    known = get_type_hints(record)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in fields(record):
        if not item.metadata.get("written", True):
            continue
        if item.metadata.get("flat"):
            inner = _record(known[item.name], definitions)
            properties |= inner["properties"]
            required += inner["required"] if not _optional(item) else []
            continue
        properties[item.name] = _type(known[item.name], definitions)
        if not _optional(item):
            required.append(item.name)
    described = {"description": " ".join((inspect.getdoc(record) or "").split("\n\n")[0].split())}
    return {"type": "object", **described, "required": required, "properties": properties}


def _optional(item: Field[Any]) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


def _type(hint: Any, definitions: dict[str, Document]) -> Document:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Picture:
        return _picture(definitions)
    if is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # a record that holds itself ends here
            definitions[hint.__name__] = _record(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if hint is float:
        return dict(_NUMBER)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _union([_type(each, definitions) for each in arguments if each is not type(None)])
    if origin is tuple:
        inner = [_type(each, definitions) for each in arguments if each is not Ellipsis]
        return {"type": "array", "items": inner[0] if all(one == inner[0] for one in inner) else {"anyOf": inner}}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    raise TypeError(f"no JSON type for {hint!r}")


def _union(kinds: list[Document]) -> Document:
    """A type or null; one that may be null already stays as it is."""
    if len(kinds) == 1 and isinstance(kinds[0].get("type"), list):
        return kinds[0]
    return {"anyOf": [*kinds, {"type": "null"}]}


def _picture(definitions: dict[str, Document]) -> Document:
    whole = {name: {"type": "integer", "minimum": 1} for name in ("height", "width")}
    limits = {name: {"type": "number"} for name in ("low", "high")}
    pixels = {"type": "string", "description": "grey levels row by row, deflated (zlib), in base64"}
    definitions["Picture"] = {
        "type": "object",
        "description": " ".join((inspect.getdoc(Picture) or "").split("\n\n")[0].split()),
        "required": ["height", "width", "low", "high", "pixels"],
        "properties": {**whole, **limits, "pixels": pixels},
    }
    return {"$ref": "#/$defs/Picture"}


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(comparison_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
