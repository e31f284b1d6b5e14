"""The numbers of a dumped tensor, where a file may hold nothing but bytes, and what a dump as a whole says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from aligner.adapters.dumps.dump import DumpedTensor, size_of
from aligner.adapters.dumps.layout import BLOCKS, Channels, blocks_of
from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Shape, Value

_BY_WIDTH = {8: "float64", 4: "float32", 2: "float16", 1: "uint8"}
"""What bytes hold where neither the dump nor the model says so: writers of raw files write floats."""
_FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How a dump keeps its tensors.

    ``block``: channels are filled up to whole ones; ``width``: bytes of a number where only files' sizes are known;
    ``half``: what two bytes hold.
    """

    block: int = 1
    width: int = _FLOAT
    half: str = "float16"

    def way(self, tensor: DumpedTensor, shape: Shape | None, channels: Channels) -> tuple[int, int] | None:
        """The (block, width) in which a tensor is kept here; None where it has another size."""
        found = ways(tensor, shape, channels)
        block, width = self.block, 0 if tensor.shape is not None else self.width
        return next((one for one in ((block, width), (1, width), *sorted(found)) if one in found), None)

    def explains(self, tensor: DumpedTensor, shape: Shape | None, channels: Channels) -> bool:
        """Whether a tensor has a size that it can have here, as far as both are known."""
        if shape is None or None in shape or (tensor.shape is None and tensor.nbytes is None):
            return may_hold(tensor, shape, channels)
        way = self.way(tensor, shape, channels)
        return way is not None and way[0] in {1, self.block}


def ways(tensor: DumpedTensor, shape: Shape | None, channels: Channels) -> frozenset[tuple[int, int]]:
    """(block, width) in which a dumped tensor can be one of that shape; width 0 where the dump tells its shape."""
    known = tuple(size for size in shape or () if size is not None)
    if shape is None or len(known) < len(shape):
        return frozenset()
    if tensor.shape is not None:
        return frozenset((block, 0) for block in blocks_of(size_of(tensor.shape), known, channels))
    widths = [(width, *divmod(tensor.nbytes or 0, width)) for width in _BY_WIDTH]
    return frozenset(
        (block, width) for width, count, rest in widths if not rest for block in blocks_of(count, known, channels)
    )


def storage_of(tensors: Iterable[Collection[tuple[int, int]]]) -> Storage:
    """The block that explains most of a dump's tensors, those that are not filled up apart, and their commonest width.

    Of each tensor the ``ways`` are given. Of several blocks none, since sizes of different types are no evidence of
    filling; then float32, and the smallest block.
    """
    explained: Counter[tuple[int, int]] = Counter()
    kept: Counter[tuple[int, int]] = Counter()
    for found in tensors:
        plain = any(block == 1 for block, _ in found)
        every = [(block, width) for block in (1, *BLOCKS) for width in _BY_WIDTH]
        explained.update(way for way in every if plain or {way, (way[0], 0)} & set(found))
        kept.update(way for way in every if {way, (1, way[1])} & set(found))
    if not explained:
        return Storage()
    return Storage(*max(explained, key=lambda way: (explained[way], way[0] == 1, kept[way], way[1] == _FLOAT, -way[0])))


def may_hold(tensor: DumpedTensor, shape: Shape | None, channels: Channels) -> bool:
    """Whether a tensor may be of that shape, as far as both are known."""
    if shape is None or (tensor.shape is None and tensor.nbytes is None):
        return True
    if None not in shape:
        return bool(ways(tensor, shape, channels))
    sizes = [size for size in shape if size is not None]
    known = size_of(sizes)
    if tensor.shape is None or known == 0 or size_of(tensor.shape) % known == 0:
        return True
    return shape[0] is None and len(sizes) + 1 == len(shape) and bool(ways(tensor, (1, *sizes), channels))


def stored_dtype(tensor: DumpedTensor, value: Value, channels: Channels, storage: Storage) -> str | None:
    """The type of raw bytes: the model's where the width is its, a float of the width otherwise; None if unknown."""
    if tensor.dtype is not None or tensor.nbytes is None:
        return tensor.dtype
    way = storage.way(tensor, value.shape, channels)
    if way is None:
        return None
    own = (value.dtype or "").removeprefix("torch.")
    if own == "bfloat16" and way[1] == 2:
        return own
    try:
        if np.dtype(own).itemsize == way[1]:
            return own
    except TypeError:
        pass
    return storage.half if way[1] == 2 else _BY_WIDTH[way[1]]


def numbers(tensor: DumpedTensor, stored: Array, dtype: str | None, path: Path, shape: Shape | None) -> Array:
    """The array, of the type that raw bytes hold; types that numpy lacks as float32.

    Raises ModelFormatError where the bytes are not as many as the model's ``shape`` takes.
    """
    if tensor.shape is not None:
        return bfloat16(stored) if dtype == "bfloat16" and stored.dtype.kind in "uV" else stored.view()
    if dtype is None:
        raise ModelFormatError(
            f"a tensor of {path} does not have the size that its model gives it",
            found=f'"{tensor.name}": {tensor.nbytes} bytes for the shape {shape}',
            hint="dump again with the input size of the comparison, or name the model that was dumped",
        )
    array: Array = bfloat16(stored) if dtype == "bfloat16" else stored.view(np.dtype(dtype).newbyteorder("<"))
    return array


def bfloat16(bits: Array) -> Array:
    """Numbers whose upper halves are stored, as float32."""
    wide: Array = (bits.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return wide


def nearer_half(stored: Array, own: Array) -> str | None:
    """What two bytes each hold, by the size of the model's own numbers; None where that does not tell."""

    def size(array: Array) -> float:
        sizes = np.abs(array[np.isfinite(array) & (array != 0)].astype(np.float64))
        return float(np.log(np.median(sizes))) if sizes.size else float("nan")

    with np.errstate(all="ignore"):
        apart = {
            "float16": abs(size(stored.view("<f2")) - size(own)),
            "bfloat16": abs(size(bfloat16(stored)) - size(own)),
        }
    told = {word: gap for word, gap in apart.items() if gap == gap}
    return min(told, key=told.__getitem__) if len(told) == len(apart) else None
