"""A .bin file: the weights of the layers, one behind the other, in an order that each kind of layer has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.ncnn_adapter.param_file import DEFAULT, Layer
from aligner.errors import ModelError, ModelFormatError, ModelNotFoundError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Weight

_HALF, _EIGHT, _PLAIN = 0x01306B47, 0x000D4B38, (0, 0x0002C056)
"""Tags that precede what may be stored otherwise than as float32."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One array of a layer; ``tagged``: a word before it says how it is stored."""

    role: str
    shape: tuple[int, ...]
    tagged: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """``weights`` by name; those of each layer in their order. ``unread``: what could not be told apart."""

    weights: Mapping[str, Weight]
    of_layer: Mapping[str, tuple[str, ...]]
    unread: str | None = None


def _windows(layer: Layer) -> list[Slot]:
    """Convolutions: kernels [out, in / groups, *spatial]."""
    rank = 1 if layer.type.endswith("1D") else 3 if layer.type.endswith("3D") else 2
    width = layer.whole(1)
    spatial = (layer.whole(21, width), layer.whole(11, width), width)[3 - rank :]
    out, size = layer.whole(0), layer.whole(6)
    inside = _whole(layer, size, out * math.prod(spatial))
    slots = [Slot("weight", (out, inside, *spatial), tagged=True)]
    slots += [Slot("bias", (out,))] if layer.whole(5) else []
    if layer.whole(8):
        groups = layer.whole(7, 1) if "DepthWise" in layer.type else 1
        scales = groups if "DepthWise" in layer.type else out
        slots += [Slot("weight_scales", (scales,)), Slot("input_scales", (1,))]
        slots += [Slot("output_scales", (1,))] if layer.whole(8) > 100 else []
    return slots


def _whole(layer: Layer, size: int, parts: int) -> int:
    """How many weights each part has; the runtime reads the size that is said, and computes with the parts."""
    if parts < 1 or size < 1 or size % parts:
        raise ModelFormatError(
            f"{layer.type} {layer.name} contradicts itself",
            found=f"{size:,} weights for {parts:,} kernels",
            hint="convert the model again with pnnx",
        )
    return size // parts


def _dense(layer: Layer) -> list[Slot]:
    out, size = layer.whole(0), layer.whole(2)
    slots = [Slot("weight", (out, _whole(layer, size, out)), tagged=True)]
    slots += [Slot("bias", (out,))] if layer.whole(1) else []
    return slots + ([Slot("weight_scales", (out,)), Slot("input_scales", (1,))] if layer.whole(8) else [])


def _vectors(*roles: str, size: int, unless: int | None = None) -> Callable[[Layer], list[Slot]]:
    """Vectors of parameter ``size``; none where the parameter ``unless`` is 0."""

    def slots(layer: Layer) -> list[Slot]:
        if unless is not None and not layer.whole(unless, 1):
            return []
        return [Slot(role, (layer.whole(size),)) for role in roles]

    return slots


def _sized(**roles: tuple[int, int]) -> Callable[[Layer], list[Slot]]:
    """Vectors that have a parameter of their size each, with its default; none where that is 0."""

    def slots(layer: Layer) -> list[Slot]:
        sizes = {role: layer.whole(number, default) for role, (number, default) in roles.items()}
        return [Slot(role, (size,)) for role, size in sizes.items() if size]

    return slots


def _scale(layer: Layer) -> list[Slot]:
    size = layer.whole(0)
    if size == DEFAULT:
        return []
    return [Slot("scale", (size,)), *([Slot("bias", (size,))] if layer.whole(1) else [])]


def _gemm(layer: Layer) -> list[Slot]:
    rows, columns, inner = layer.whole(7), layer.whole(8), layer.whole(9)
    slots = []
    if layer.whole(4):
        slots.append(Slot("A", (inner, rows) if layer.whole(2) else (rows, inner), tagged=True))
    if layer.whole(5):
        slots.append(Slot("B", (columns, inner) if layer.whole(3) else (inner, columns), tagged=True))
    shapes = {0: (1,), 1: (rows,), 2: (rows, 1), 3: (rows, columns), 4: (1, columns)}
    if layer.whole(6) and layer.whole(10) in shapes:
        slots.append(Slot("C", shapes[layer.whole(10)], tagged=True))
    return slots


def _embed(layer: Layer) -> list[Slot]:
    shape = layer.whole(1), layer.whole(0)
    return [Slot("weight", shape, tagged=True), *([Slot("bias", (shape[1],))] if layer.whole(2) else [])]


def _constant(layer: Layer) -> list[Slot]:
    sizes = [layer.whole(number) for number in (2, 11, 1, 0)]
    return [Slot("data", tuple(size for size in sizes if size), tagged=layer.whole(21, 1) == 0)]


def _cells(gates: int, biases: int) -> Callable[[Layer], list[Slot]]:
    def slots(layer: Layer) -> list[Slot]:
        out, directions = layer.whole(0), 2 if layer.whole(2) == 2 else 1
        hidden = layer.whole(3, out)
        size = _whole(layer, layer.whole(1), directions * hidden * gates)
        found = [
            Slot("weight_xc", (directions, hidden * gates, size), tagged=True),
            Slot("bias_c", (directions, biases, hidden), tagged=True),
            Slot("weight_hc", (directions, hidden * gates, out), tagged=True),
        ]
        return found + ([Slot("weight_hr", (directions, out, hidden), tagged=True)] if out != hidden else [])

    return slots


def _attention(layer: Layer) -> list[Slot]:
    width, size = layer.whole(0), layer.whole(2)
    outer = _whole(layer, size, width)
    inner = {"q": outer, "k": layer.whole(3, width), "v": layer.whole(4, width)}
    slots = []
    for role, length in inner.items():
        slots += [Slot(f"{role}_weight", (width, length), tagged=True), Slot(f"{role}_bias", (width,))]
    return [*slots, Slot("out_weight", (outer, width), tagged=True), Slot("out_bias", (outer,))]


_SLOTS: Mapping[str, Callable[[Layer], list[Slot]]] = {
    **dict.fromkeys(
        [
            *("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"),
            *(f"{kind}{rank}D" for kind in ("Convolution", "ConvolutionDepthWise") for rank in (1, 3)),
            *(f"{kind}{rank}D" for kind in ("Deconvolution", "DeconvolutionDepthWise") for rank in (1, 3)),
            "DeformableConv2D",
        ],
        _windows,
    ),
    "InnerProduct": _dense,
    "BatchNorm": _vectors("slope", "mean", "variance", "bias", size=0),
    "InstanceNorm": _vectors("gamma", "beta", size=0, unless=2),
    "GroupNorm": _vectors("gamma", "beta", size=1, unless=3),
    "LayerNorm": _vectors("gamma", "beta", size=0, unless=2),
    "RMSNorm": _vectors("gamma", size=0, unless=2),
    "PReLU": _vectors("slope", size=0),
    "Bias": _vectors("bias", size=0),
    "Scale": _scale,
    "Normalize": _sized(scale=(3, 0)),
    "Quantize": _sized(scale=(0, 1)),
    "Dequantize": _sized(scale=(0, 1), bias=(1, 0)),
    "Requantize": _sized(scale_in=(0, 1), scale_out=(1, 1), bias=(2, 0)),
    "Gemm": _gemm,
    "Embed": _embed,
    "MemoryData": _constant,
    "LSTM": _cells(4, 4),
    "GRU": _cells(3, 4),
    "RNN": _cells(1, 1),
    "MultiHeadAttention": _attention,
}


def read_weights(path: Path, layers: tuple[Layer, ...]) -> Stored:
    """What the file holds; behind a layer of a kind that is not known nothing can be told.

    Raises ModelFormatError where the file is too short.
    """
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path.with_suffix('.param')} has no weights", found=f"no {path.name} beside it", hint="keep both together"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError.of(f"{path} cannot be read", error, "check the path") from error
    reader = _Reader(path, content)
    weights: dict[str, Weight] = {}
    of_layer: dict[str, tuple[str, ...]] = {}
    at: dict[str, int] = {}
    for layer in layers:
        names = []
        at[layer.name] = reader.at
        for slot in _SLOTS[layer.type](layer) if layer.type in _SLOTS else ():
            name = f"{layer.name}.{slot.role}"
            weights[name] = reader.weight(name, slot)
            names.append(name)
        of_layer[layer.name] = tuple(names)
    if reader.at == len(content):
        return Stored(weights, of_layer)
    return Stored(
        {}, {}, unread=f"{len(content) - reader.at:,} bytes of {path.name} belong to layers that are not known"
    )


class _Reader:
    """Goes through the file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content, self.at = path, content, 0

    def weight(self, name: str, slot: Slot) -> Weight:
        """The next array, left in the file."""
        count, word = math.prod(slot.shape) if min(slot.shape, default=0) >= 0 else -1, "float32"
        if slot.tagged:
            tag = int.from_bytes(self._taken(name, 4), "little")
            word = {_HALF: "float16", _EIGHT: "int8"}.get(tag, "float32" if tag in _PLAIN else "")
            if not word:
                raise ModelFormatError(
                    f"{self._path} holds weights in a form that is not known",
                    found=f"{name}: tag {tag:#x}",
                    hint="convert the model again; files that ncnn2table has quantised to a table are not read",
                )
        dtype = np.dtype(word)
        content = self._taken(name, -(-count * dtype.itemsize // 4) * 4)
        return Weight(name, slot.shape, word, _loader(content, dtype, slot.shape))

    def _taken(self, name: str, count: int) -> bytes:
        taken = self._content[self.at : self.at + count]
        if count < 0 or len(taken) < count:
            raise ModelFormatError(
                f"{self._path} ends too early",
                found=f"{name} wants {count:,} bytes, {len(taken):,} are left",
                hint="copy it again, or convert the model again: the .param may be of another model",
            )
        self.at += count
        return taken


def _loader(content: bytes, dtype: Any, shape: tuple[int, ...]) -> Callable[[], Array]:
    def load() -> Array:
        return np.frombuffer(content, dtype, math.prod(shape)).reshape(shape)

    return load
