"""Matrix products, and sums of products that an equation writes."""

from __future__ import annotations

import numpy as np

from aligner.operations.operation import Operation, computes_by, wide
from aligner.operations.settings import Einsum, Product
from aligner.records.array import Array


@computes_by(Product, "matmul")
def multiply(operation: Operation, settings: Product) -> Array:
    """x · kernelᵀ + bias with a kernel [out, in], else left · right with numpy's broadcasting."""
    left = wide(operation.data[0])
    right = wide(operation.parameters["kernel"]).T if "kernel" in operation.parameters else wide(operation.data[1])
    result = left @ right * settings.scale
    bias = operation.parameters.get("bias")
    summed: Array = result if bias is None else result + bias
    return summed


@computes_by(Einsum, "einsum")
def sum_of_products(operation: Operation, settings: Einsum) -> Array:
    """numpy's einsum of the equation."""
    data = [wide(operand) for operand in operation.data]
    return np.asarray(np.einsum(settings.equation, *data, optimize=True))
