"""Shapes that are computed while the model runs, as far as the shapes of its inputs decide them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aligner.adapters.onnx_adapter.engine import Engine
from aligner.adapters.onnx_adapter.file import OnnxFile
from aligner.adapters.onnx_adapter.program import index_program, make_piece
from aligner.adapters.onnx_adapter.types import ValueType, fix_shape
from aligner.errors import AlignerError

_SMALL = 1024
"""Elements up to which a weight may hold sizes."""


def settle_shapes(
    file: OnnxFile, model: Any, types: Mapping[str, ValueType], shapes: Mapping[str, tuple[int, ...]], engine: Engine
) -> dict[str, ValueType]:
    """The types that onnxruntime's constant folding settles; ``shapes`` are those of every input that is fed.

    Large weights become inputs of their shape, so that nothing of them is loaded.
    """
    import onnx

    made = (name for node in model.graph.node for name in node.output)
    unsettled = [name for name in made if name in types and types[name].carriable and _is_open(types[name].shape)]
    if not unsettled:
        return {}
    program = index_program(file, model, types)
    if any(name not in shapes for name in program.inputs):
        return {}
    large = {
        name: tensor
        for name, tensor in program.initializers.items()
        if math.prod(tensor.dims) > _SMALL and name not in program.inputs
    }
    piece = make_piece(program, range(len(program.nodes)), unsettled, {}, {}, absent=frozenset(large))
    for name, tensor in large.items():
        piece.model.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
    for value in program.inputs.values():
        piece.model.graph.input.append(value)
        if value.type.HasField("tensor_type"):
            fix_shape(piece.model.graph.input[-1].type, shapes[value.name])
    try:
        session = engine.session(piece.model, piece.stubs, level="basic")
    except AlignerError:
        return {}
    found = {output.name: output.shape for output in session.get_outputs()}
    return {
        name: ValueType(types[name].element, tuple(shape))
        for name, shape in found.items()
        if shape and all(isinstance(size, int) for size in shape)
    }


def _is_open(shape: tuple[int | None, ...] | None) -> bool:
    return shape is None or None in shape
