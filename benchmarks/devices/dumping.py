"""What a device would have dumped of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.operations.kinds import ELEMENTWISE
from benchmarks.devices.device import Device
from benchmarks.devices.writers import write

if TYPE_CHECKING:
    from aligner.records.graph import Graph, Node

    Array = np.ndarray[Any, np.dtype[Any]]

_FOREIGN = re.compile(r"[^0-9A-Za-z]")
_HEADS = frozenset({"conv", "conv_transpose", "matmul"})
_FOLLOWERS = frozenset({"norm", "relu", "relu6", "clip", "leaky_relu", "sigmoid", "silu", "hardswish", "add"})
_MOST_FUSED = 3
_PICTURE = 4
_CUT = 28
"""Characters that a writer with a limit leaves of a name."""
_IN_SPACE = frozenset({"conv", "conv_transpose", "max_pool", "avg_pool", "resize"})
_IN_PLACE = ELEMENTWISE | {"norm", "concat", "pad", "dropout", "identity", "quantize", "dequantize"}


@dataclass(frozen=True, slots=True)
class Dumped:
    """Where the dump lies, and the values of the model that it holds."""

    path: Path
    values: frozenset[str]


def dump(folder: Path, graph: Graph, tensors: Mapping[str, Array], device: Device, rng: np.random.Generator) -> Dumped:
    """Write the tensors of a run, by value, as the device would."""
    chains = _chains(graph, tensors) if device.fused else {}
    inner = {value for chain in chains.values() for node in chain[:-1] for value in node.outputs}
    kept = [value for value in tensors if value not in inner and _wanted(value, graph, device, rng)]
    spatial = _spatial(graph) if device.last and graph.channels == "first" else frozenset()
    named: dict[str, Array] = {}
    values = set()
    lost = _reused(tensors, [value for value in kept if value not in {*graph.inputs, *graph.outputs}], rng, device)
    for value in kept:
        name = _name(value, graph, chains.get(value), device)
        if name in named:
            continue  # a file of that name is there already, and a writer that numbers them would be guessing
        named[name] = _laid(
            lost.get(value, tensors[value]), device, last=device.last and value in spatial, channels=graph.channels
        )
        values |= {value} - lost.keys()
    if device.doubled:
        named = _doubled(named, rng)
    return Dumped(write(folder, device.writer, named, device.precision), frozenset(values))


def _reused(
    tensors: Mapping[str, Array], kept: list[str], rng: np.random.Generator, device: Device
) -> dict[str, Array]:
    """Tensors over which a later one of at most their size was written, which does not read them."""
    found: dict[str, Array] = {}
    for at, value in enumerate(kept if device.reused else ()):
        later = [other for other in kept[at + 3 :] if 1 < tensors[other].size <= tensors[value].size]
        if later and tensors[value].dtype == tensors[later[0]].dtype and rng.random() < 0.3:
            over = tensors[later[0]].ravel()
            array = np.concatenate([over, tensors[value].ravel()[over.size :]])
            found[value] = array.reshape(tensors[value].shape)
    return found


def _doubled(named: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """With what else a device writes: counters, and some tensors once more under a number."""
    found: dict[str, Array] = {}
    for number, (name, array) in enumerate(named.items()):
        found[name] = array
        if rng.random() < 0.2:
            found[f"{name}_{number}_copy"] = array
        if rng.random() < 0.1:
            found[f"profile/{number}"] = rng.standard_normal(5).astype(np.float32)
    return found


def _wanted(value: str, graph: Graph, device: Device, rng: np.random.Generator) -> bool:
    if value in graph.inputs:
        return device.fed
    return value in graph.outputs or device.share == 1 or bool(rng.random() < device.share)


def _chains(graph: Graph, tensors: Mapping[str, Array]) -> dict[str, list[Node]]:
    """The last value of each fused chain → its nodes."""
    found: dict[str, list[Node]] = {}
    taken: set[int] = set()
    for head in graph.nodes:
        if head.kind not in _HEADS or head.index in taken:
            continue
        chain = [head]
        while len(chain) < _MOST_FUSED:
            value = chain[-1].outputs[0]
            readers = graph.readers(value)
            if len(readers) != 1 or value in graph.outputs or readers[0].kind not in _FOLLOWERS:
                break
            if len(readers[0].outputs) != 1 or readers[0].outputs[0] not in tensors:
                break
            chain.append(readers[0])
        if len(chain) > 1 and not taken & {node.index for node in chain}:
            taken |= {node.index for node in chain}
            found[chain[-1].outputs[0]] = chain
    return found


def _name(value: str, graph: Graph, chain: list[Node] | None, device: Device) -> str:
    if chain is not None:
        name = " + ".join(node.name for node in chain)
    else:
        name = graph.values[value].name
        maker = graph.producer(value)
        if device.names == "nodes" and maker is not None and maker.name and maker.outputs[0] == value:
            name = maker.name
    plain = _FOREIGN.sub("_", name)
    if device.names == "numbered":
        maker = graph.producer(value)
        return f"{0 if maker is None else maker.index + 1:04d}_{plain}"
    ways = {
        "hashed": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:12],
        "mangled": plain,
        "bare": name.lstrip("/"),
        "suffixed": f"{plain}_cast_fp16",
        "prefixed": f"main_graph/{name.lstrip('/')}",
        "cut": plain[:_CUT],
    }
    return ways.get(device.names, name)


def _spatial(graph: Graph) -> frozenset[str]:
    """What a device that keeps channels last turns: pictures, and what is computed of them place by place."""
    found = {value for value in graph.inputs if _rank(graph, value) == _PICTURE}
    for node in graph.nodes:
        read = [value for value in node.inputs if _rank(graph, value) == _PICTURE and value in graph.values]
        if node.kind in _IN_SPACE or (node.kind in _IN_PLACE and read and found.issuperset(read)):
            found.update(value for value in node.outputs if _rank(graph, value) == _PICTURE)
    return frozenset(found)


def _rank(graph: Graph, value: str) -> int | None:
    shape = graph.values[value].shape if value in graph.values else None
    return None if shape is None else len(shape)


def _laid(array: Array, device: Device, *, last: bool, channels: str) -> Array:
    if device.precision in {"float16", "bfloat16"} and array.dtype == np.float32:
        array = _narrow(array, device.precision)
    if device.precision == "coded" and array.dtype == np.float32:
        step = np.float32(np.abs(array).max(initial=0.0) / 127 or 1.0)
        array = np.rint(array / step) * step
    if array.ndim == _PICTURE and device.packing not in {"", "flat"}:
        array = _packed(array, device.packing, last=last, channels=channels)
    elif last:
        array = array.transpose(0, 2, 3, 1)
    if device.packing == "flat":
        return np.asarray(array).ravel()
    if not device.batched and array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return np.asarray(array, order="C")


def _narrow(array: Array, precision: str) -> Array:
    """Rounded to the type; bfloat16, which numpy has not, stays float32."""
    if precision == "float16":
        with np.errstate(over="ignore"):
            return array.astype(np.float16)
    bits = np.ascontiguousarray(array).view(np.uint32)
    kept = (bits + 0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return kept.view(np.float32)


def _packed(array: Array, packing: str, *, last: bool, channels: str) -> Array:
    """Channels filled up to whole blocks, with zeros; "c…": the blocks apart, as N, C/block, H, W, block."""
    block = int(packing.lstrip("padc"))
    first = array if channels == "first" else array.transpose(0, 3, 1, 2)
    count, depth, height, width = first.shape
    more = -depth % block
    first = np.concatenate([first, np.zeros((count, more, height, width), first.dtype)], axis=1)
    if packing.startswith("c"):
        return first.reshape(count, -1, block, height, width).transpose(0, 1, 3, 4, 2)
    return first.transpose(0, 2, 3, 1) if last or channels == "last" else first
