"""Matrices packed in few bits, each block of a row with a scale and a zero point: what MatMulNBits reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node, Weight

_WORD = "com.microsoft::MatMulNBits"


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows and columns of a matrix [out, in], the bits of a number, and how many of a row make a block."""

    rows: int
    columns: int
    bits: int
    block: int

    @classmethod
    def of(cls, whole: Callable[[str, int], int]) -> Packing | None:
        """As the attributes say, each read with a default; None for bits and blocks that are not known."""
        made = cls(whole("N", 0), whole("K", 0), whole("bits", 4), whole("block_size", 0))
        return made if made.bits in (2, 4, 8) and min(made.block, made.rows, made.columns) > 0 else None

    def real(self, codes: Array, scale: Array, zero: Array | None) -> Array:
        """The numbers that packed codes stand for, [out, in] in the dtype of the scales."""
        kernel = self._unpacked(codes).reshape(self.rows, -1, self.block)
        middle: Array | int = 1 << (self.bits - 1)
        if zero is not None:
            given = zero.reshape(self.rows, -1)
            middle = (self._unpacked(given) if zero.dtype.kind == "u" else given)[:, : kernel.shape[1], None]
        held = (kernel - middle) * scale.reshape(*kernel.shape[:2], 1)
        return held.reshape(self.rows, -1)[:, : self.columns].astype(scale.dtype)

    def steps(self, scale: Array) -> Array:
        """How far apart the codes around each number are, [out, in]."""
        return np.repeat(np.abs(scale.reshape(self.rows, -1)), self.block, axis=1)[:, : self.columns]

    def _unpacked(self, array: Array) -> Array:
        """The numbers in each byte, the lowest bits first, along the last axis."""
        shifts = np.arange(0, 8, self.bits, dtype=np.uint8)
        apart: Array = (array[..., None] >> shifts) & np.uint8((1 << self.bits) - 1)
        return apart.reshape(*array.shape[:-1], -1).astype(np.float32)


def unpacked_weight(node: Node, weights: Mapping[str, Weight]) -> tuple[str, Weight] | None:
    """(name, weight) of the matrix that a node reads packed: what its codes stand for, and how far apart they are."""
    if node.op != _WORD or not all(name in weights for name in node.inputs[1:3]) or any(node.inputs[4:5]):
        return None
    given = [name for name in node.inputs[1:4] if name]
    found = Packing.of(lambda name, default: _whole(node, name, default))
    if found is None or not all(name in weights for name in given) or weights[given[0]].spacing is not None:
        return None
    packing, (codes, scale, *zero) = found, [weights[name] for name in given]
    unpacked = replace(
        codes,
        shape=(packing.rows, packing.columns),
        dtype=f"uint{packing.bits}",
        load=lambda: _kept(packing.real(codes.load(), scale.load(), zero[0].load() if zero else None)),
        spacing=lambda: packing.steps(scale.load()),
    )
    return given[0], unpacked


def _kept(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _whole(node: Node, name: str, default: int) -> int:
    found = node.attributes.get(name, default)
    return int(found) if isinstance(found, (int, float)) else default
