"""Numbers rounded to a grid of levels, and back."""

from __future__ import annotations

from aligner.adapters.openvino_adapter.grids import grid_between
from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import quantized
from aligner.operations.operation import Operation


def _fake_quantize(call: Call) -> Operation:
    """Operands input, and the limits of what is read and of what is given; of what was stored the numbers arrive."""
    x = call.need(0)
    if call.node.kind == "dequantize":
        return Operation("identity", {}, (x,))
    levels = call.integer("levels")
    grid = grid_between([call.need(place) for place in range(1, 5)], levels, x.ndim)
    if grid is None:
        raise call.unknown("another range behind than before, or zero between two levels")
    return quantized(x, grid, grid.axis, (0, levels - 1))


WORDS: Vocabulary = {"FakeQuantize": _fake_quantize}
