"""Attention of several heads, from projected queries, keys and values to the output."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.composites.given import Given
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.operations.operation import Unsupported
from aligner.records.dataclass import dataclass

_BOOL, _INT64 = 9, 7
_FILTER = -10000.0
"""Added to the score of what a mask leaves out: the default of ``mask_filter_value`` (ContribOperators.md)."""


@dataclass(frozen=True)
class Heads:
    """What happens between projected queries, keys and values [batch, length, heads · width] and the output."""

    write: Writer
    given: Given

    @property
    def count(self) -> int:
        return int(self.given.number("num_heads", 0))

    def apart(self, name: str, count: int | None = None) -> str:
        """[batch, heads, length, width], of as many heads as the node says or as are told."""
        count = self.count if count is None else count
        if count < 1:
            raise Unsupported("heads that are not counted")
        shaped = self.write("Reshape", name, self.write.integers((0, 0, count, -1)))
        return self.write.transpose(shaped, (0, 2, 1, 3))

    def together(self, name: str) -> str:
        """Heads side by side again."""
        return self.write("Reshape", self.write.transpose(name, (0, 2, 1, 3)), self.write.integers((0, 0, -1)))

    def attended(
        self, sides: tuple[str, str, str], past: str, mask: str, bias: str, width: int, *, causal: bool | None = None
    ) -> str:
        """Softmax of the scores times the values, heads side by side again; ``past``: keys kept before, "" for none."""
        write, (query, key, value) = self.write, sides
        scores = write("MatMul", query, write.transpose(key, (0, 1, 3, 2)))
        scale = self.given.number("scale", 0.0) or width**-0.5
        scores = write("Mul", scores, write.number(scale))
        for added in filter(None, (bias, mask)):
            scores = write("Add", scores, added)
        if self.given.number("unidirectional", 0) if causal is None else causal:
            scores = self._causal(scores, past)
        return self.together(write("MatMul", write("Softmax", scores, axis=-1), value))

    def _causal(self, scores: str, past: str) -> str:
        """What comes later than a query filtered out; the first query stands behind what was kept before."""
        write = self.write
        ones = write("ConstantOfShape", write("Shape", scores), value=_one())
        offset = write("Gather", write("Shape", past), write.constant(np.asarray(2))) if past else ""
        seen = write("Cast", write("Trilu", ones, offset, upper=0), to=_BOOL)
        return write("Where", seen, scores, write.number(float(np.finfo(np.float32).min)))

    def mask(self, place: int, key: str) -> str:
        """0 or the filter's value, to be added to scores [batch, heads, length, all]; "" without a mask.

        A mask is 1 where something is kept, [batch, all] or [batch, length, all]; or says how much of each sequence is:
        where it ends [batch], and behind these where it begins [2 · batch].
        """
        if not self.given[place]:
            return ""
        shape, write = self.given.shape(place), self.write
        if len(shape) > 3:
            raise Unsupported("masks of rank 4")
        kept = write("Cast", self.given[place], to=_BOOL) if len(shape) > 1 else self._within(place, key)
        added = write("Where", kept, write.number(0.0), write.number(self.given.number("mask_filter_value", _FILTER)))
        return write("Unsqueeze", added, write.integers((1,) if len(shape) == 3 else (1, 2)))

    def _within(self, place: int, key: str) -> str:
        """[batch, all]: which positions of the keys lie within their sequence."""
        write, batch, count = self.write, self.given.shape(0)[0], self.given.shape(place)[0]
        if batch is None or count not in (batch, 2 * batch):
            raise Unsupported("lengths of another kind")
        length = write("Gather", write("Shape", key), write.constant(np.asarray(2)))
        positions = write("Range", write.constant(np.asarray(0)), length, write.constant(np.asarray(1)))
        ends = write("Unsqueeze", write("Cast", self.given[place], to=_INT64), write.integers((1,)))
        if count == batch:
            return write("Less", positions, ends)
        ends, starts = write.several("Split", 2, ends, write.integers((batch, batch)), axis=0)
        return write("And", write("Less", positions, ends), write("GreaterOrEqual", positions, starts))


def _one() -> Any:
    from onnx import helper

    return helper.make_tensor("value", _INT64, [1], [1])
