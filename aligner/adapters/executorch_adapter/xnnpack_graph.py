"""The graphs that XNNPACK's delegates hold: read, and written again with one node each."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aligner.adapters.executorch_adapter.library import executorch

Graph = Mapping[str, Any]
"""What schema.fbs (backends/xnnpack/serialization) calls XNNGraph, as flatc writes it in JSON."""
NOTHING = 0xFFFFFFFF
"""The id of an operand that is absent (XNN_INVALID_VALUE_ID)."""
OPERANDS = (
    "input_id",
    *(f"input{number}_id" for number in range(1, 6)),
    *(f"{role}_id" for role in ("query", "key", "value", "scale", "mask", "filter", "bias")),
)
"""Fields that name operands, in the order in which operands are told."""
_MAGIC, _HEADER = b"XH00", struct.Struct("<4x4sHIIIQ")
"""A header's magic and length, where the graph begins and its length, those of stored data (XNNHeader)."""
_ALIGNMENT = 16
"""Bytes to which stored data are padded (CONSTANT_TENSOR_ALIGNMENT of xnnpack_graph_serialize.py)."""
_SECONDS = 20
"""A file that keeps flatc busy for longer is not looked into: a limit of work, a graph takes it milliseconds."""


def read_graphs(delegates: Iterable[bytes]) -> list[Graph]:
    """The graphs of delegates; none where one cannot be read. Each has its stored data behind "blob"."""
    found: list[Graph] = []
    with tempfile.TemporaryDirectory() as folder:
        blobs = []
        for number, data in enumerate(delegates):
            if len(data) < _HEADER.size or data[4:8] != _MAGIC:
                return []
            _, _, begin, length, blob, size = _HEADER.unpack_from(data)
            (Path(folder) / f"{number}.bin").write_bytes(data[begin : begin + length])
            blobs.append(data[blob : blob + size])
        if not _flatc(folder, ["--json", "--strict-json", "--defaults-json", "--raw-binary"], "bin", len(blobs)):
            return []
        for number, held in enumerate(blobs):
            text = (Path(folder) / f"{number}.json").read_text(encoding="utf-8", errors="replace")
            plain = re.sub(r"(:\s*)(-?inf|nan)\b", r'\1"\2"', text)  # JSON has no infinities, flatc takes them as texts
            found.append(json.loads(plain) | {"blob": held})
    return found


def write_graphs(graphs: Sequence[Graph]) -> list[bytes]:
    """Delegates' data of some graphs; none where flatc refuses one."""
    with tempfile.TemporaryDirectory() as folder:
        for number, graph in enumerate(graphs):
            plain = {name: held for name, held in graph.items() if name != "blob"}
            (Path(folder) / f"{number}.json").write_text(json.dumps(plain), encoding="utf-8")
        if not _flatc(folder, ["--binary"], "json", len(graphs)):
            return []
        payloads = [(Path(folder) / f"{number}.bin").read_bytes() for number in range(len(graphs))]
    return [_framed(payload, graph["blob"]) for payload, graph in zip(payloads, graphs, strict=True)]


def _framed(payload: bytes, blob: bytes) -> bytes:
    begin = _up(_HEADER.size)
    header = _HEADER.pack(_MAGIC, _HEADER.size, begin, len(payload), begin + _up(len(payload)), len(blob))
    return header.ljust(begin, b"\0") + payload.ljust(_up(len(payload)), b"\0") + blob


def _up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _flatc(folder: str, options: Sequence[str], suffix: str, count: int) -> bool:
    """Whether ExecuTorch's flatc, which makes these graphs, has turned the numbered files of a suffix into others."""
    program, schema = executorch().flatc()
    words = [program, *options, "-o", folder, schema, *(["--"] if suffix == "bin" else [])]
    words += [str(Path(folder) / f"{number}.{suffix}") for number in range(count)]
    try:
        done = subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def operands_of(node: Mapping[str, Any]) -> list[int]:
    """The ids of what a node reads, stored tensors included."""
    said = node["xnode_union"]
    return [said[name] for name in OPERANDS if said.get(name, NOTHING) != NOTHING]


def alone(graph: Graph, node: Mapping[str, Any], fed: Sequence[int]) -> Graph:
    """A graph of one node, which reads ``fed`` in this order."""
    result = node["xnode_union"]["output_id"]
    wanted = {*operands_of(node), result}
    outer = {one: (number, 1) for number, one in enumerate(fed)} | {result: (len(fed), 2)}
    stored, blob, values = [dict(graph["constant_data"][0])], b"", []
    for value in graph["xvalues"]:
        base = dict(tensor_of(value))
        if base["id_out"] not in wanted:
            continue
        base["external_id"], base["flags"] = outer.get(base["id_out"], (NOTHING, 0))
        if base["constant_buffer_idx"]:
            held = dict(graph["constant_data"][base["constant_buffer_idx"]])
            if not held.get("named_key"):
                begin, size = held["offset"], held["size"]
                held["offset"] = _up(len(blob))
                blob = blob.ljust(held["offset"], b"\0") + graph["blob"][begin : begin + size]
            base["constant_buffer_idx"] = len(stored)
            stored.append(held)
        values.append(dict(value) | {"xvalue_union": base})
    return {
        "version": graph["version"],
        "xnodes": [node],
        "xvalues": values,
        "num_externs": len(outer),
        "input_ids": list(fed),
        "output_ids": [result],
        "constant_data": stored,
        "blob": blob,
    }


def tensor_of(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of a value. Raises KeyError for integers on a grid, which are not looked into."""
    if value["xvalue_union_type"] != "XNNTensorValue":
        raise KeyError(value["xvalue_union_type"])
    found: Mapping[str, Any] = value["xvalue_union"]
    return found


def stored_bytes(graph: Graph, value: Mapping[str, Any], named: Mapping[str, bytes]) -> bytes:
    """What a stored tensor holds; ``named``: data that lie in the program."""
    held = graph["constant_data"][value["constant_buffer_idx"]]
    if held.get("named_key"):
        return named[held["named_key"]]
    found: bytes = graph["blob"][held["offset"] : held["offset"] + held["size"]]
    return found
