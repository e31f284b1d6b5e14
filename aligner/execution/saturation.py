"""What a quantised tensor can hold, whether it is seen as the integers it is stored in or as the numbers they mean."""

from __future__ import annotations

import numpy as np

from aligner.numerics.coded_steps import OWN_STEPS
from aligner.operations.kinds import VIEWS
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node, Quantization
from aligner.records.tensor import CapturedTensor

_WIDEST = 16
"""Bits; a range of 32 is as good as endless."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The ends of a quantised range and the (largest) step; the ends are those of a per-tensor quantisation only."""

    step: float
    ends: tuple[float, float] | None


class Grids:
    """The grids of one graph's values."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._any = any(value.quantization is not None for value in graph.values.values())
        self._known: dict[str, Grid | None] = {}

    def of(self, tensor: CapturedTensor) -> Grid | None:
        """The grid that a captured tensor lies on: its own, or that of the integers it was dequantised from."""
        if tensor.quantization is not None:
            return _grid(tensor.quantization, tensor.array.dtype.name)
        return self.of_value(tensor.value)

    def of_value(self, value: str) -> Grid | None:
        """The same of a value, as far as the graph says it."""
        if not self._any:
            return None
        if value not in self._known:
            self._known[value] = self._traced(value)
        return self._known[value]

    def _traced(self, value: str) -> Grid | None:
        own = self._graph.values.get(value)
        if own is not None and own.quantization is not None:
            return _grid(own.quantization, own.dtype or "")
        node = self._graph.producer(value)
        while node is not None and node.inputs and (node.kind in VIEWS or self._casts_numbers(node)):
            node = self._graph.producer(node.inputs[0])
        stored = self._graph.values.get(node.inputs[0]) if node is not None and node.kind == "dequantize" else None
        if stored is None or stored.quantization is None:
            return None
        return _grid(stored.quantization, stored.dtype or "")

    def _casts_numbers(self, node: Node) -> bool:
        """Whether it gives the same real numbers in another width."""
        ends = [self._graph.values.get(name) for name in (*node.inputs[:1], *node.outputs[:1])]
        return node.kind == "cast" and all(end is not None and (end.dtype or "").startswith("float") for end in ends)

    def clipped(self, values: Array, holder: CapturedTensor) -> tuple[Array, float]:
        """The other side's values clipped to what this side's tensor holds, and the share that lies steps outside.

        Anything else comes back as it is, with a share of 0.
        """
        grid = self.of(holder)
        if grid is None or grid.ends is None:
            return values, 0.0
        margin = OWN_STEPS * grid.step
        with np.errstate(over="ignore"):  # ends that single precision does not reach hold all of its numbers
            outside = (values < grid.ends[0] - margin) | (values > grid.ends[1] + margin)
            share = float(outside.mean()) if outside.size else 0.0
            return (np.clip(values, *grid.ends), share) if share else (values, 0.0)


def _grid(quantization: Quantization, dtype: str) -> Grid | None:
    try:
        limits = np.iinfo(np.dtype(dtype))
    except (TypeError, ValueError):
        return None
    step = quantization.step
    if not step or limits.bits > _WIDEST:
        return None
    if len(quantization.scale) != 1:
        return Grid(step, None)
    zero = quantization.zero_point[0] if quantization.zero_point else 0
    return Grid(step, ((limits.min - zero) * step, (limits.max - zero) * step))
