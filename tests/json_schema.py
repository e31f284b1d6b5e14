"""The part of JSON Schema that the published schemas use; strict: a key that no schema names is a fault too."""

from __future__ import annotations

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_KNOWN = frozenset(
    """type enum const required properties items anyOf allOf $ref minimum maximum additionalProperties
    description title $schema $id $defs""".split()
)


def faults(value, schema, root=None, path="$"):
    """Every place where the value does not follow the schema, as readable lines."""
    return list(_faults(value, schema, root or schema, path)) + [
        f"{path}: key {name!r} is not in the schema" for name in _unknown(value, schema, root or schema)
    ]


def _faults(value, schema, root, path):
    assert set(schema) <= _KNOWN, f"{path}: this checker does not know {set(schema) - _KNOWN}"
    if "$ref" in schema:
        yield from faults(value, _resolve(schema, root), root, path)
    for part in schema.get("allOf", ()):
        yield from _faults(value, _resolve(part, root), root, path)
    if "anyOf" in schema and all(faults(value, part, root, path) for part in schema["anyOf"]):
        yield from faults(value, schema["anyOf"][-1], root, path)
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{path}: {value!r} is not {schema['type']}"
        return
    if "minimum" in schema and isinstance(value, (int, float)) and value < schema["minimum"]:
        yield f"{path}: {value!r} < {schema['minimum']}"
    if "maximum" in schema and isinstance(value, (int, float)) and value > schema["maximum"]:
        yield f"{path}: {value!r} > {schema['maximum']}"
    if isinstance(value, dict):
        yield from (f"{path}: {name!r} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in schema.get("properties", {}).items():
            if name in value:
                yield from faults(value[name], item, root, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for place, item in enumerate(value):
            yield from faults(item, schema["items"], root, f"{path}[{place}]")


def _resolve(schema, root):
    if "$ref" not in schema:
        return schema
    found = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def _is(value, types):
    return any(_is_one(value, name) for name in ([types] if isinstance(types, str) else types))


def _is_one(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])


def _unknown(value, schema, root):
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    named = set(schema["properties"])
    for part in schema.get("allOf", ()):
        named |= set(_resolve(part, root)["properties"])
    return sorted(set(value) - named)
