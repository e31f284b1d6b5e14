"""Matrix products, and sums of products that an equation writes."""

from __future__ import annotations

import numpy as np

from aligner.operations.operation import Operation, computes_by, wide
from aligner.operations.settings import Einsum, Product
from aligner.records.array import Array

_ALONE, _TOGETHER = 1 << 18, 1 << 26
"""Multiplications: up to which OpenBLAS computes a product in one thread (65,536 · 4 in its ``interface/gemm.c``), and
from which threads gain milliseconds. Between them they are waited for, by spinning, longer than they work: nine
products of 32 channels, 64 by 64, took 10 ms of CPU time on two cores and 60 on busy ones, in pieces 4 and 5."""
_NARROWEST = 16
"""Columns of a piece, so that calls take little of the time."""


def matrix_product(left: Array, right: Array) -> Array:
    """``left @ right``, in pieces for which a BLAS wakes no threads where those cost more than they gain."""
    if left.dtype.kind != "f" or min(left.ndim, right.ndim) < 2:
        return np.asarray(left @ right)
    size, each = right.shape[-1], left.shape[-2] * left.shape[-1]
    columns = _ALONE // max(each, 1)
    if not _NARROWEST <= columns < size or each * size > _TOGETHER:
        return np.asarray(left @ right)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    result = np.empty((*lead, left.shape[-2], size), np.result_type(left, right))
    for start in range(0, size, columns):
        piece = slice(start, start + columns)
        np.matmul(left, right[..., piece], out=result[..., piece])
    return result


@computes_by(Product, "matmul")
def multiply(operation: Operation, settings: Product) -> Array:
    """x · kernelᵀ + bias with a kernel [out, in], else left · right with numpy's broadcasting."""
    left = wide(operation.data[0])
    right = wide(operation.parameters["kernel"]).T if "kernel" in operation.parameters else wide(operation.data[1])
    result = matrix_product(left, right) * settings.scale
    bias = operation.parameters.get("bias")
    summed: Array = result if bias is None else result + bias
    return summed


@computes_by(Einsum, "einsum")
def sum_of_products(operation: Operation, settings: Einsum) -> Array:
    """numpy's einsum of the equation."""
    data = [wide(operand) for operand in operation.data]
    return np.asarray(np.einsum(settings.equation, *data, optimize=True))
