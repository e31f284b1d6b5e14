"""Other steps for quantised tensors of a TFLite file, and the biases stored in steps that follow from them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Regrid
from aligner.adapters.tflite_adapter.bias import BIASED
from aligner.adapters.tflite_adapter.grafting import octets
from aligner.adapters.tflite_adapter.graph import Naming
from aligner.adapters.tflite_adapter.schema import Model, Operator, schema
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.graph import Weight


def regrid(unpacked: Any, model: Model, names: Naming, edit: Regrid) -> list[str]:
    """Declare it on the unpacked model; what has changed. Raises Unsupported for what is not computed on one step."""
    index = names.indices.get(edit.value, -1)
    known = unpacked.subgraphs[0].tensors[index].quantization if index in names.producer else None
    if known is None or known.scale is None or len(known.scale) != 1:
        raise Unsupported(f"{edit.value} is not computed on one step")
    said = [f"- {edit.value}: scale {known.scale[0]:.6g}, zero point {known.zeroPoint[0]}"]
    known.scale, known.zeroPoint = [edit.scale], [edit.zero_point]
    said.append(f"+ {edit.value}: scale {edit.scale:.6g}, zero point {edit.zero_point}")
    _rescale(unpacked, model, index, 0)
    return said


def refit(unpacked: Any, model: Model, index: int, weight: Weight, real: Array) -> Array:
    """Stored integers for a weight's real numbers, after its steps have become those of each slice's largest number.

    Where a layer multiplies by it; its bias is stored anew. Any other constant keeps the steps that it is read in.
    """
    known, dtype = weight.quantization, np.dtype(weight.dtype)
    assert known is not None
    if not any(known.zero_point) and any(
        operator.op in BIASED and operator.inputs[1] == index for operator in model.main.operators
    ):
        axes = tuple(axis for axis in range(real.ndim) if axis != known.axis)
        steps = np.abs(real).max(axes).astype(np.float64).reshape(-1) / np.iinfo(dtype).max
        known = replace(known, scale=tuple(new or old for new, old in zip(steps.tolist(), known.scale, strict=True)))
    unpacked.subgraphs[0].tensors[index].quantization.scale = list(known.scale)
    _rescale(unpacked, model, index, 1)
    return known.quantize(real, dtype)


def _rescale(unpacked: Any, model: Model, index: int, operand: int) -> None:
    """The same real numbers for the biases of what reads a tensor as that operand, in steps that follow."""
    for operator in model.main.operators:
        places = BIASED.get(operator.op)
        if places is not None and len(operator.inputs) > places[2] and operator.inputs[places[operand]] == index:
            _rescale_bias(unpacked, operator, places)


def _rescale_bias(unpacked: Any, operator: Operator, places: tuple[int, int, int]) -> None:
    main = unpacked.subgraphs[0]
    inputs = list(main.operators[operator.index].inputs)
    read, weight, bias = (main.tensors[inputs[place]] if inputs[place] >= 0 else None for place in places)
    steps = [_steps(tensor) for tensor in (read, weight, bias)]
    if bias is None or any(each is None for each in steps):
        return
    wanted, content = steps[0] * steps[1], unpacked.buffers[bias.buffer].data
    if content is None or wanted.size not in (1, *bias.shape):
        raise Unsupported(f"the bias of {operator.op} is computed")
    stored = np.frombuffer(bytes(content), np.int64 if bias.type == schema().TensorType.INT64 else np.int32)
    ends = np.iinfo(stored.dtype)
    numbers = np.clip(np.rint(stored.astype(np.float64) * steps[2] / wanted), ends.min, ends.max).astype(stored.dtype)
    made = copy.deepcopy(bias)  # another operator may read the old one
    made.quantization.scale = [float(each) for each in wanted]
    made.quantization.zeroPoint = [0] * wanted.size
    unpacked.buffers.append(schema().BufferT(data=octets(numbers)))
    made.buffer, made.name = len(unpacked.buffers) - 1, (bias.name or b"") + b"/rescaled"
    main.tensors.append(made)
    inputs[places[2]] = len(main.tensors) - 1
    main.operators[operator.index].inputs = inputs


def _steps(tensor: Any) -> Any:
    known = None if tensor is None else tensor.quantization
    return None if known is None or known.scale is None else np.asarray(known.scale, np.float64)
