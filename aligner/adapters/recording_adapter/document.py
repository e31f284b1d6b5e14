"""A graph as JSON text and back: the description inside a recording, ``aligner.capture/1``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node, Quantization, Value, Weight

FORMAT = "aligner.capture/1"
_OF_WEIGHTS = ("name", "shape", "dtype", "index", "quantization")


@dataclass(frozen=True, slots=True)
class RecordedTensor:
    """A captured tensor and the entry of the file that holds it."""

    entry: str
    value: str
    dtype: str
    quantization: Quantization | None = None
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Description:
    """Everything of a recording but its arrays."""

    graph: Graph
    tensors: tuple[RecordedTensor, ...]
    runtime: str | None


def write_description(
    graph: Graph, tensors: Sequence[RecordedTensor], weights: Mapping[str, str], runtime: str | None
) -> str:
    """The description as JSON; ``weights`` names the entry of each weight that was stored."""
    document = {
        "format": FORMAT,
        "framework": graph.framework,
        "runtime": runtime,
        "channels": graph.channels,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "notes": graph.notes,
        "of_one_run": graph.of_one_run,
        "nodes": _plain(graph.nodes),
        "values": [_plain(value) for value in graph.values.values()],
        "weights": [_weight(name, weight, weights.get(name)) for name, weight in graph.weights.items()],
        "tensors": [_plain(tensor) for tensor in tensors],
    }
    return json.dumps(document, allow_nan=False)


def _weight(name: str, weight: Weight, entry: str | None) -> dict[str, Any]:
    return {"id": name, "entry": entry, **{key: _plain(getattr(weight, key)) for key in _OF_WEIGHTS}}


def _plain(value: Any) -> Any:
    """A record by its fields; JSON has no infinities: they are wrapped, {"float": "inf"}. What else is becomes text."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return str(value)


def read_description(text: str, load: Callable[[str], Array]) -> Description:
    """The description; ``load`` reads an entry of the file, for the weights.

    Raises ModelFormatError where the text is no ``aligner.capture/1`` document.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ModelFormatError(
                "the recording's description has an unknown format",
                found=str(found),
                hint=f"this version reads {FORMAT}; update aligner, or record again",
            )
        tensors = tuple(_read_tensor(entry) for entry in document["tensors"])
        runtime = document["runtime"]
        return Description(_read_graph(document, load), tensors, None if runtime is None else str(runtime))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFormatError(
            "the recording's description is damaged", found=f"{type(error).__name__}: {error}", hint="record again"
        ) from error


def _read_graph(document: Mapping[str, Any], load: Callable[[str], Array]) -> Graph:
    values = [_read_value(entry) for entry in document["values"]]
    return Graph(
        framework=str(document["framework"]),
        nodes=tuple(_read_node(entry) for entry in document["nodes"]),
        values=MappingProxyType({value.id: value for value in values}),
        weights=MappingProxyType({str(entry["id"]): _read_weight(entry, load) for entry in document["weights"]}),
        inputs=_words(document["inputs"]),
        outputs=_words(document["outputs"]),
        channels="last" if document["channels"] == "last" else "first",
        notes=_words(document["notes"]),
        of_one_run=bool(document.get("of_one_run", False)),
    )


def _words(entries: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(entry) for entry in entries)


def _optional(entry: Any) -> str | None:
    return None if entry is None else str(entry)


def _shape(entry: Any) -> tuple[int | None, ...] | None:
    return None if entry is None else tuple(None if size is None else int(size) for size in entry)


def _read_node(entry: Mapping[str, Any]) -> Node:
    return Node(
        index=int(entry["index"]),
        name=str(entry["name"]),
        op=str(entry["op"]),
        kind=str(entry["kind"]),
        inputs=_words(entry["inputs"]),
        outputs=_words(entry["outputs"]),
        weights=_words(entry["weights"]),
        attributes=MappingProxyType({str(key): _read_attribute(value) for key, value in entry["attributes"].items()}),
        scope=_optional(entry["scope"]),
        source=_optional(entry["source"]),
        overwrites=bool(entry.get("overwrites", False)),
    )


def _read_attribute(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"])
    return tuple(_read_attribute(entry) for entry in value) if isinstance(value, list) else value


def _read_value(entry: Mapping[str, Any]) -> Value:
    return Value(
        id=str(entry["id"]),
        name=str(entry["name"]),
        shape=_shape(entry["shape"]),
        dtype=_optional(entry["dtype"]),
        index=None if entry["index"] is None else int(entry["index"]),
        quantization=_read_quantization(entry["quantization"]),
        aliases=_words(entry["aliases"]),
    )


def _read_weight(entry: Mapping[str, Any], load: Callable[[str], Array]) -> Weight:
    name, stored = str(entry["name"]), _optional(entry["entry"])

    def content() -> Array:
        if stored is None:
            raise ModelFormatError("the recording lacks a weight", found=f'"{name}"', hint="record again")
        return load(stored)

    return Weight(
        name=name,
        shape=tuple(int(size) for size in entry["shape"]),
        dtype=str(entry["dtype"]),
        load=content,
        quantization=_read_quantization(entry["quantization"]),
        index=None if entry["index"] is None else int(entry["index"]),
    )


def _read_tensor(entry: Mapping[str, Any]) -> RecordedTensor:
    return RecordedTensor(
        entry=str(entry["entry"]),
        value=str(entry["value"]),
        dtype=str(entry["dtype"]),
        quantization=_read_quantization(entry["quantization"]),
        occurrence=int(entry["occurrence"]),
    )


def _read_quantization(entry: Any) -> Quantization | None:
    if entry is None:
        return None
    scale = tuple(float(_read_attribute(value)) for value in entry["scale"])
    axis = entry["axis"]
    return Quantization(scale, tuple(int(zero) for zero in entry["zero_point"]), None if axis is None else int(axis))
