"""A .param file: one layer a line, with the blobs it reads and writes and its numbered parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from aligner.errors import ModelError, ModelFormatError
from aligner.records.dataclass import dataclass
from aligner.records.regular_file import read_regular

_MAGIC = "7767517"
_ARRAY = -23300
"""Numbers of parameters that are arrays count down from here (param-and-model-file-structure of ncnn)."""
DEFAULT = -233
"""What stands for "not said" among a layer's whole numbers (ncnn, src/layer: Crop, Reshape, Padding)."""
_WHOLE, _BEYOND = (-(1 << 31), (1 << 31) - 1), 2.0**128
"""What an int32 holds, and what no float32 does."""
_AGAIN = "convert the model again with pnnx, and keep the .param and the .bin together"

_WORD = re.compile(r'[^\s"]*"[^"]*"|\S+')
"""A quoted string may hold spaces (ncnn, src/paramdict.cpp)."""

_SIZE, _AXES = re.compile(r"(\d+)([whdc])"), {"w": 1, "h": 2, "c": 3, "d": 4}
"""A size of a blob in words, "0h", and the least number of axes of a blob that has it."""

_READ = {"Input": 0, "MemoryData": 0, "Split": 1}
"""How many blobs the layers read that compute none."""

Parameter = float | int | tuple[float | int, ...] | str


@dataclass(frozen=True, slots=True)
class Layer:
    """``said`` holds the parameters by their numbers, arrays under the number they stand for."""

    type: str
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    said: Mapping[int, Parameter]

    def whole(self, number: int, default: int = 0) -> int:
        """A parameter that is a whole number."""
        value = self.said.get(number, default)
        return int(value) if isinstance(value, (int, float)) else default

    def real(self, number: int, default: float = 0.0) -> float:
        """A parameter that is a number."""
        value = self.said.get(number, default)
        return float(value) if isinstance(value, (int, float)) else default

    def several(self, number: int) -> tuple[float | int, ...]:
        """A parameter that is an array."""
        value = self.said.get(number, ())
        return value if isinstance(value, tuple) else ()


def read_layers(path: Path) -> tuple[Layer, ...]:
    """The layers in order. Raises ModelFormatError where the text contradicts itself."""
    try:
        lines = read_regular(path).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelFormatError(
            f"{path} is no text", found="bytes", hint="give the .param file, not its binary form (.param.bin)"
        ) from error
    except OSError as error:
        raise ModelError.of(f"{path} cannot be read", error, "check the path") from error
    if not lines or lines[0].strip() != _MAGIC:
        raise ModelFormatError(
            f"{path} is no ncnn model", found=f"it begins with {(lines or [''])[0][:40]!r}", hint=_AGAIN
        )
    try:
        count, blobs = map(int, lines[1].split())
        layers = tuple(_layer(line) for line in lines[2:] if line.strip())
    except (ValueError, IndexError) as error:
        raise ModelFormatError.of(f"{path} contradicts itself", error, _AGAIN) from error
    _check(path, layers, count, blobs)
    return layers


def axes_read(layers: Iterable[Layer]) -> list[tuple[str, int]]:
    """Blobs of which a layer reads so many axes at least: a matrix of a product, sizes that a shape in words names."""
    found = [(layer.reads[0], 2) for layer in layers if layer.type == "Gemm" and not layer.whole(4)]
    for layer in layers:
        words = layer.said.get(6) if layer.type == "Reshape" else None
        named = _SIZE.findall(words) if isinstance(words, str) else ()
        found += [(layer.reads[int(place)], _AXES[axis]) for place, axis in named if int(place) < len(layer.reads)]
    return found


def _layer(line: str) -> Layer:
    kind, name, reads, writes, *rest = _WORD.findall(line)
    many = int(reads), int(writes)
    if min(many) < 0 or len(rest) < sum(many):
        raise ValueError(f"layer {name} lacks blobs")
    said = dict(_parameter(word) for word in rest[sum(many) :])
    return Layer(kind, name, tuple(rest[: many[0]]), tuple(rest[many[0] : sum(many)]), said)


def _parameter(word: str) -> tuple[int, Parameter]:
    key, _, value = word.partition("=")
    number = int(key)
    if value[:1] == '"' or value[:1].isalpha():
        return number, value.strip('"')
    if number > _ARRAY:
        parts = tuple(map(_number, value.split(",")))
        return number, parts if "," in value else parts[0]
    count, *items = value.split(",")
    if int(count) != len(items):
        raise ValueError(f"an array of {count} has {len(items)}")
    return _ARRAY - number, tuple(map(_number, items))


def _number(word: str) -> float | int:
    """Raises ValueError for what ncnn's int and float do not hold."""
    try:
        found: float | int = int(word)
    except ValueError:
        found = float(word)
    if not (_WHOLE[0] <= found <= _WHOLE[1] if isinstance(found, int) else abs(found) < _BEYOND):
        raise ValueError(f"{word} is no number of ncnn's")
    return found


def _check(path: Path, layers: tuple[Layer, ...], count: int, blobs: int) -> None:
    """Every blob is written once, before it is read: the runtime looks at neither."""
    written: set[str] = set()
    fault = f"{count} layers announced, {len(layers)} there" if count != len(layers) else ""
    for layer in layers:
        lost = [blob for blob in layer.reads if blob not in written]
        twice = [blob for blob in layer.writes if blob in written]
        fault = fault or (f"{layer.name} reads {lost[0]}, which nothing wrote before it" if lost else "")
        if layer.type in _READ and (len(layer.reads) != _READ[layer.type] or not layer.writes):
            fault = fault or f"{layer.name}, {layer.type}, reads {len(layer.reads)} blobs, writes {len(layer.writes)}"
        fault = fault or (f"{layer.name} writes {twice[0]} again" if twice else "")
        written.update(layer.writes)
    if not fault and blobs != len(written):
        fault = f"{blobs} blobs announced, {len(written)} there"
    if fault or not any(layer.type == "Input" for layer in layers):
        raise ModelFormatError(f"{path} contradicts itself", found=fault or "no input", hint=_AGAIN)
