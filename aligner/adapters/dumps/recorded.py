"""Recorded tensors as what a model is given in the place of its own: read when they are asked for, in its types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from aligner.adapters.base import Injection
from aligner.adapters.lazy_injection import LazyInjection
from aligner.records.array import Array
from aligner.records.graph import Graph, InputSpec, Value
from aligner.records.tensor import CapturedTensor


def real(recorded: Mapping[str, Callable[[], CapturedTensor]]) -> Injection:
    """Recorded tensors as real numbers, each read when the run reaches it."""
    return LazyInjection(recorded, lambda value: recorded[value]().real())


class Given(Mapping[str, "Array"]):
    """Tensors as the model stores them; ``keep``: several runs read them, so what was read once is kept."""

    def __init__(self, inject: Injection, graph: Graph) -> None:
        self._inject, self.graph, self.keep = inject, graph, False
        self.fixed: dict[str, Array] = {}

    def __getitem__(self, value: str) -> Array:
        if value in self.fixed:
            return self.fixed[value]
        array = as_stored(self._inject[value], self.graph.values.get(value))
        if self.keep:
            self.fixed[value] = array
        return array

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._inject), **self.fixed})

    def __len__(self) -> int:
        return len({*self._inject, *self.fixed})

    def __contains__(self, value: object) -> bool:
        return value in self.fixed or value in self._inject


def decoded(inject: Injection, dumped: Mapping[str, Value], own: Mapping[str, Value]) -> Injection:
    """Tensors that were given as a dump codes them, as real numbers where its model computes in those."""

    def read(value: str) -> Array:
        array: Array = inject[value]
        code = dumped[value].quantization if value in dumped else None
        if code is None or value not in own or own[value].quantization is not None:
            return array
        return code.dequantize(array) if code.scale and array.dtype.kind in "iu" else array

    return LazyInjection(inject, read)


def as_stored(array: Any, value: Value | InputSpec | None) -> Array:
    """A tensor in the type that the model has for it."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        plain: Array = array
        return plain
    try:
        target = (
            np.dtype((value.dtype or array.dtype.name).removeprefix("torch.")) if value is not None else array.dtype
        )
    except TypeError:
        target = np.dtype(np.float32) if value is not None and value.dtype == "bfloat16" else array.dtype
    if array.dtype == target:
        return np.asarray(array, order="C")
    quantization = value.quantization if value is not None else None
    if quantization is not None and quantization.scale and target.kind in "iu" and array.dtype.kind == "f":
        return quantization.quantize(array, target)
    with np.errstate(all="ignore"):
        rounded = np.rint(array) if target.kind in "iu" and array.dtype.kind == "f" else array
        return np.asarray(rounded.astype(target), order="C")
