"""Virtual tensors: what the reference's nodes hold inside, lowered and replayed on the tensors that they read.

They are believed if the replay of the whole node ends in what the runtime showed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aligner.adapters.registry import translator
from aligner.execution.injection import numpy_dtype
from aligner.execution.side import OpenSide, Sides
from aligner.judgement.suspects import limit
from aligner.operations.call import call_of
from aligner.operations.kinds import INVERSES, LAYOUT, SCALES
from aligner.operations.lowering import Primitive, lower
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.axis_order import fits, to_candidate
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

FEW = 2
"""Numbers alone are constants of a formula, not tensors."""
_NODES = 4
"""Of a region that is looked into: a layer, its bias, its norm and an activation."""


def laid_as(array: Array, item: Measured, shape: tuple[int, ...], dtype: str) -> Array | None:
    """A virtual tensor as the candidate would hold it; None where it does not fit."""
    target = numpy_dtype(dtype)
    if target is None or target.kind != "f" or array.size < FEW:
        return None
    for axes in (item.pair.axes, None):
        if (axes is None or len(axes) == array.ndim) and fits(array.shape, axes, shape):
            moved = to_candidate(array, axes, shape)
            return None if moved is None else moved.astype(target)
    return None


def inside_of_one(sides: Sides, item: Measured) -> tuple[Primitive, ...]:
    """The inside of the reference's only node; nothing where the replay does not end in what the runtime showed."""
    nodes = _nodes(sides[0].graph, item)
    return _lowered(sides, item, nodes[0])[:-1] if len(nodes) == 1 else ()


def inside_of_several(sides: Sides, item: Measured) -> tuple[Primitive, ...]:
    """All that a few nodes compute and hold inside, and that with each number that is a factor there moved past it.

    A factor that comes later may have been moved before a tensor, and one that came earlier behind it. What a layer
    or a norm gives before its own bias is left out: with that, one that has lost its bias would be right.
    """
    nodes = _nodes(sides[0].graph, item)
    steps = [step for node in nodes if len(nodes) <= _NODES for step in _lowered(sides, item, node)]
    factors = [(place, factor) for place, step in enumerate(steps) if (factor := _factor(step.operation)) is not None]
    kept = [place for place, step in enumerate(steps) if not _before_bias(step, steps[place + 1 : place + 2])]
    moved = [
        replace(
            steps[place],
            name=f"{steps[place].name}.scaled",
            value=steps[place].value * (factor if at > place else 1 / factor),
        )
        for place in kept
        for at, factor in factors
    ]
    return (*(steps[place] for place in kept if place < len(steps) - 1), *moved)


def _before_bias(step: Primitive, later: Sequence[Primitive]) -> bool:
    """Whether a layer's product, or a norm's, still lacks numbers for each channel that the next step adds."""
    return any(
        each.operation.kind == "add"
        and each.operation.data[0].shape == step.value.shape
        and (1 < each.operation.data[1].size < step.value.size or each.operation.data[0] is step.value)
        for each in later
    )


def _nodes(graph: Graph, item: Measured) -> list[Node]:
    return [node for index in item.pair.reference_region.nodes if (node := graph.nodes[index]).kind not in LAYOUT]


def _factor(operation: Operation) -> float | None:
    """The one number that a product or a quotient scales a tensor with."""
    numbers = [data for data in operation.data if data.size == 1]
    if operation.kind not in SCALES or len(operation.data) != 2 or len(numbers) != 1:
        return None
    number = float(numbers[0].reshape(-1)[0])
    if not number or (operation.kind in INVERSES and operation.data[1].size != 1):
        return None
    return 1 / number if operation.kind in INVERSES else number


def _lowered(sides: Sides, item: Measured, node: Node) -> tuple[Primitive, ...]:
    """The primitives of a node of the reference."""
    graph, side = sides[0].graph, sides[0]
    if item.local is None:
        return ()
    arrays = _operands(side, node)
    seen = arrays.get(node.outputs[0])
    try:
        call = call_of(graph, node, arrays.get, graph.weights.__contains__, lambda name: _shape(arrays.get(name)))
        steps = lower(translator(graph.framework)(call))
    except Unsupported:
        return ()
    if seen is None or steps[-1].value.shape != seen.shape:
        return ()
    apart = float(np.abs(steps[-1].value - seen).max(initial=0.0))
    return steps if apart <= limit((graph, sides[1].graph), item, item.local) else ()


def _shape(array: Array | None) -> tuple[int, ...] | None:
    return None if array is None else tuple(array.shape)


def _operands(side: OpenSide, node: Node) -> dict[str, Array]:
    """What a node read and gave, weights included."""
    weights = side.graph.weights
    found: dict[str, Array] = {name: weights[name].values() for name in node.inputs if name in weights}
    wanted = [name for name in (*node.inputs, *node.outputs[:1]) if name and name not in weights]
    for tensor in side.replay(wanted):
        if tensor.occurrence == 0:
            found[tensor.value] = tensor.real()
    return found
