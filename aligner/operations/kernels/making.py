"""Tensors made from little: filled ones, ranges, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.operation import Operation, computes, computes_by
from aligner.operations.settings import Fill, Mesh, ShapeOf
from aligner.records.array import Array


@computes_by(Fill, "fill")
def fill(_: Operation, settings: Fill) -> Array:
    """One value in every place."""
    return np.full(settings.shape, settings.value)


@computes("range")
def count_up(operation: Operation) -> Array:
    """From a start, up to a limit that is left out, by steps."""
    start, limit, step = (operand.reshape(()) for operand in operation.data)
    return np.asarray(np.arange(start.item(), limit.item(), step.item()))


@computes_by(Mesh, "mesh")
def mesh(operation: Operation, settings: Mesh) -> tuple[Array, ...]:
    """Each vector along an axis of its own, spread over those of the others."""
    grids: Any = np.meshgrid(*operation.data, indexing=settings.indexing)  # type: ignore[call-overload]
    return tuple(grids)


@computes_by(ShapeOf, "shape")
def shape(operation: Operation, settings: ShapeOf) -> Array:
    """The sizes of some axes."""
    begin, end = settings.begin, settings.end
    return np.asarray(operation.data[0].shape[begin:end], np.int64)


@computes("size")
def size(operation: Operation) -> Array:
    """How many elements there are."""
    return np.asarray(operation.data[0].size, np.int64)
