"""Constants as weights: as they are stored, and the few steps that unpack them counted in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aligner.adapters.openvino_adapter.types import holder_of, word_of
from aligner.records.array import Array
from aligner.records.graph import Quantization, Weight

_UNPACKING = frozenset({"Convert", "Subtract", "Multiply", "Reshape"})
"""What a converter puts behind weights that it stores in fewer bits."""


def is_constant(op: Any, fixed: Callable[[str], bool]) -> bool:
    """Whether an operation is a constant, or unpacks what is ``fixed``, told by the names of operations."""
    if op.get_type_name() == "Constant":
        return True
    sources = [op.input_value(place).get_node().get_name() for place in range(op.get_input_size())]
    return op.get_type_name() in _UNPACKING and all(map(fixed, sources)) and _is_held(op)


def _is_held(op: Any) -> bool:
    return holder_of(word_of(op.output(0).get_element_type())) is not None


def weight_of(name: str, op: Any) -> Weight:
    """The numbers that an operation stands for; of half precision and of integers on a grid what is stored."""
    shape = tuple(op.output(0).get_shape())
    steps = list(_steps(op))
    root = steps[-1]
    word = word_of(root.output(0).get_element_type())
    words = [step.get_type_name() for step in steps[:-1]]
    if set(words) <= {"Convert"}:
        plain = words and word_of(op.output(0).get_element_type()) not in {"float32", "float64"}
        stored = op if plain else root
        return Weight(name, shape, word, _frozen(stored))
    grid = _grid(steps, len(shape))
    if grid is not None:
        return Weight(name, shape, word, _frozen(root), grid)
    return Weight(name, shape, word, _frozen(op))


def _steps(op: Any) -> Any:
    """The operation and what it unpacks, back to the constant."""
    while True:
        yield op
        if op.get_type_name() == "Constant":
            return
        op = op.input_value(0).get_node()


def _grid(steps: list[Any], rank: int) -> Quantization | None:
    """Scale and zero point along one axis, of (stored − zero) · scale."""
    names = [step.get_type_name() for step in steps if step.get_type_name() not in {"Convert", "Constant"}]
    if names not in (["Multiply"], ["Multiply", "Subtract"]):
        return None
    parts = {
        step.get_type_name(): np.asarray(_values(step.input_value(1).get_node()))
        for step in steps
        if step.get_type_name() in names
    }
    scale = parts["Multiply"]
    zero = parts.get("Subtract", np.zeros((), scale.dtype))
    long = {rank - part.ndim + axis for part in (scale, zero) for axis, size in enumerate(part.shape) if size > 1}
    if len(long) > 1 or scale.size < zero.size or np.any(zero != np.rint(zero)):
        return None
    zeros = np.broadcast_to(zero.reshape(-1), scale.size) if zero.size == 1 else zero.reshape(-1)
    return Quantization(
        tuple(float(each) for each in scale.reshape(-1)),
        tuple(int(each) for each in zeros),
        long.pop() if long else None,
    )


def _frozen(op: Any) -> Callable[[], Array]:
    def load() -> Array:
        array = np.array(_values(op), order="C")
        array.flags.writeable = False
        return array

    return load


def _values(op: Any) -> Array:
    """What a constant operation computes."""
    word = op.get_type_name()
    if word == "Constant":
        return _stored(op)
    operands = [_values(op.input_value(place).get_node()) for place in range(op.get_input_size())]
    if word == "Convert":
        return operands[0].astype(holder_of(word_of(op.output(0).get_element_type())))
    if word == "Reshape":
        return operands[0].reshape(tuple(op.output(0).get_shape()))
    found: Array = np.subtract(*operands) if word == "Subtract" else np.multiply(*operands)
    return found


def _stored(op: Any) -> Array:
    word, shape = word_of(op.output(0).get_element_type()), tuple(op.output(0).get_shape())
    raw: Array = np.asarray(op.data)
    if word == "bfloat16":
        wide: Array = (raw.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
        return wide.reshape(shape)
    if word in {"int4", "uint4"}:
        octets = raw.view(np.uint8).reshape(-1)
        halves = np.stack([octets & 15, octets >> 4], axis=-1).reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
        signed = halves.astype(np.int8) - ((halves > 7) * 16).astype(np.int8) if word == "int4" else halves
        return signed.reshape(shape)
    return raw.reshape(shape)
