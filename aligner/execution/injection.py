"""One side's tensors as the other wants them: its axis order, its dtype, its quantisation; fetched lazily."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from aligner.execution.pool import TensorPool
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.array import Array
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import Quantization

Perturbation = Callable[[Array, Quantization | None], Array]
Convert = Callable[[Array, "tuple[int, ...] | None", tuple[int, ...]], Array | None]
"""A tensor of the other side, with the order of axes in which it answers, in the shape of one of this side."""


class ReferenceInjection(Mapping[str, "Array"]):
    """Value id of the side that computes → the other side's tensor for it; reading one may run that side up to it.

    ``pairs`` and ``sketches`` are by value of the side that computes; the pool holds tensors of side ``giver``: the
    reference (0), unless it is the reference that computes, on what a recording holds.
    """

    def __init__(
        self,
        pool: TensorPool,
        pairs: Mapping[str, PairedValues],
        sketches: Mapping[str, Sketch],
        quantization: Mapping[str, Quantization | None],
        convert: Convert,
        perturbation: Perturbation | None = None,
        *,
        giver: int = 0,
        override: Mapping[str, Array] | None = None,
    ) -> None:
        self._override = dict(override or {})
        self._giver = giver
        self._pool = pool
        self._pairs = pairs
        self._sketches = sketches
        self._quantization = quantization
        self._convert = convert
        self._perturbation = perturbation

    def __getitem__(self, value: str) -> Array:
        if value in self._override:
            given = np.asarray(self._override[value], order="C")
            return self._stored(value, given) if given.dtype.kind == "f" and value in self._sketches else given
        pair = self._pairs[value]
        source = pair.values[self._giver]
        tensor = self._pool.get(source)
        if tensor is None:
            raise KeyError(value)
        sketch = self._sketches[value]
        array = self._convert(tensor.real(), pair.axes, sketch.shape)
        self._pool.release(source)
        if array is None:
            raise KeyError(value)
        if self._perturbation is not None:
            target = numpy_dtype(sketch.dtype)
            if target is not None and target.kind == array.dtype.kind == "f" and target.itemsize < array.itemsize:
                with np.errstate(all="ignore"):  # units of the dtype that is fed: finer ones would be rounded off again
                    array = array.astype(target)
            array = self._perturbation(array, self._quantization.get(value))
        return self._stored(value, array)

    def _stored(self, value: str, array: Array) -> Array:
        """Real numbers as the value holds them: in its dtype, on its grid."""
        quantization, target = self._quantization.get(value), numpy_dtype(self._sketches[value].dtype)
        if quantization is not None and quantization.scale and target is not None and target.kind in "iu":
            return quantization.quantize(array, target)
        if target is None or array.dtype == target:
            return np.asarray(array, order="C")
        with np.errstate(all="ignore"):
            whole = target.kind in "iu" and array.dtype.kind == "f"
            stored = np.asarray((np.rint(array) if whole else array).astype(target), order="C")
        own = self._sketches[value]
        if target.kind == array.dtype.kind == "f" and (own.min > 0 or own.max < 0):
            # What guards a division from 0 there is not 0 in fewer bits either.
            lost = (stored == 0) & (array != 0)
            stored[lost] = np.copysign(np.finfo(stored.dtype).smallest_subnormal, array[lost])
        return stored

    def __iter__(self) -> Iterator[str]:
        return iter({**self._pairs, **self._override})

    def __len__(self) -> int:
        return len({**self._pairs, **self._override})

    def __contains__(self, value: object) -> bool:
        return value in self._pairs or value in self._override


@functools.lru_cache(maxsize=256)
def numpy_dtype(name: str) -> np.dtype[np.generic] | None:
    """The array dtype that carries a framework's dtype: bfloat16 travels as float32; None for what has no numbers."""
    plain = plain_dtype(name)
    if plain in {"bfloat16", "float8_e4m3fn", "float8_e5m2"}:
        return np.dtype(np.float32)
    try:
        dtype = np.dtype(plain)
    except TypeError:
        return None
    return dtype if dtype.kind in "fiub" else None
