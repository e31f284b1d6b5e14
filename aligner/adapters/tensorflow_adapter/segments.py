"""A run in parts: what each computes, what it reads of the parts before it, what is carried on."""

from __future__ import annotations

from typing import Any

from aligner.adapters.tensorflow_adapter.dataflow import Dataflow, holds_numbers
from aligner.records.dataclass import dataclass


@dataclass(frozen=True)
class Segment:
    """Value ids: ``read`` of what was made before, ``carried`` to later parts, ``read_later`` of all that there is."""

    made: tuple[str, ...]
    read: tuple[str, ...]
    carried: tuple[str, ...]
    read_later: frozenset[str]


def segments_of(flow: Dataflow, sized: Dataflow, budget: int) -> list[Segment]:
    """Cut the operations where their results exceed the budget, by the sizes that ``sized`` knows.

    Never where a list or another handle would have to be carried on.
    """
    sizes = {op.name: sum(_bytes(tensor) for tensor in op.outputs) for op in sized.kept}
    last_reader = {tensor.name: place for place, op in enumerate(flow.kept) for tensor in flow.operands(op)}
    parts: list[list[Any]] = [[]]
    total, bound = 0, -1
    for place, op in enumerate(flow.kept):
        size = sizes.get(op.name, 0)
        if parts[-1] and total + size > budget and place > bound:
            parts.append([])
            total = 0
        parts[-1].append(op)
        total += size
        handles = (tensor for tensor in op.outputs if not holds_numbers(tensor))
        bound = max([bound, *(last_reader.get(tensor.name, -1) for tensor in handles)])
    return [_segment(flow, part, parts[number + 1 :]) for number, part in enumerate(parts)]


def _segment(flow: Dataflow, ops: list[Any], later: list[list[Any]]) -> Segment:
    made = [tensor for op in ops for tensor in op.outputs if holds_numbers(tensor)]
    own = {tensor.name for tensor in made}
    read = _reads(flow, ops)
    behind = {tensor.name: tensor for part in later for tensor in _reads(flow, part).values()}
    return Segment(
        made=tuple(flow.id_of(tensor) for tensor in made),
        read=tuple(flow.id_of(tensor) for name, tensor in read.items() if name not in own),
        carried=tuple(flow.id_of(tensor) for tensor in made if tensor.name in behind),
        read_later=frozenset(flow.id_of(tensor) for tensor in behind.values()),
    )


def _reads(flow: Dataflow, ops: list[Any]) -> dict[str, Any]:
    """What these operations read that is computed or fed."""
    operands = (tensor for op in ops for tensor in flow.operands(op))
    return {tensor.name: tensor for tensor in operands if tensor.op.type != "Const" and holds_numbers(tensor)}


def _bytes(tensor: Any) -> int:
    count = tensor.shape.num_elements() if holds_numbers(tensor) else None
    return (count or 0) * int(tensor.dtype.base_dtype.size)
