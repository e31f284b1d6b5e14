"""What a layer is told, under the names that frameworks share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aligner.records.graph import Attribute

_NAMES = {
    "eps": "epsilon",
    "keep_dims": "keepdims",
    "batch_dims": "batch",
    "block_size": "block",
    "num_groups": "groups",
    "auto_broadcast": "",
    "pads_begin": "",
    "pads_end": "",
    "variable_id": "",
}
"""OpenVINO's name → ours; "" for what is told elsewhere, or never differs."""
_LOWER = frozenset({"eps_mode", "approximation_mode"})
"""Words that the file writes in small letters and the live model in capitals."""
_NOTHING = {"auto_pad": "explicit"}


def attributes_of(op: Any) -> Mapping[str, Attribute]:
    """The settings of a layer; the runtime's own list of them, which a few kinds of layer do not give."""
    try:
        said = op.get_attributes()
    except (RuntimeError, TypeError):
        return MappingProxyType({})
    found: dict[str, Attribute] = {}
    for name, value in said.items():
        key = _NAMES.get(name, name)
        if key and _NOTHING.get(key) != value:
            found[key] = str(value).lower() if name in _LOWER else _plain(value)
    if "pads_begin" in said and "auto_pad" not in found:
        found["pads"] = tuple(zip(_plain(said["pads_begin"]), _plain(said["pads_end"]), strict=True))
    if op.get_type_name() in {"GroupConvolution", "GroupConvolutionBackpropData"}:
        groups = op.input(1).get_partial_shape()[0]
        if groups.is_static:
            found["groups"] = groups.get_length()
    if "destination_type" in found:
        found["to"] = found.pop("destination_type")
    return MappingProxyType(found)


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(each) for each in value)
    try:
        return tuple(_plain(each) for each in value)
    except TypeError:
        return str(value)
