"""Another grid for a quantised tensor of a TFLite file, and the biases stored in steps that follow from it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Regrid
from aligner.adapters.tflite_adapter.constants import load_constant
from aligner.adapters.tflite_adapter.grafting import octets
from aligner.adapters.tflite_adapter.graph import Naming
from aligner.adapters.tflite_adapter.schema import Model, Operator, schema
from aligner.operations.operation import Unsupported

_BIASED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Operators of what they read, a weight, and a bias whose step is the product of theirs."""


def regrid(unpacked: Any, model: Model, names: Naming, edit: Regrid) -> list[str]:
    """Declare it on the unpacked model; what has changed. Raises Unsupported for what is not computed on one step."""
    index = names.indices.get(edit.value, -1)
    tensors = unpacked.subgraphs[0].tensors
    known = tensors[index].quantization if index in names.producer else None
    if known is None or known.scale is None or len(known.scale) != 1:
        raise Unsupported(f"{edit.value} is not computed on one step")
    said = [f"- {edit.value}: scale {known.scale[0]:.6g}, zero point {known.zeroPoint[0]}"]
    known.scale, known.zeroPoint = [edit.scale], [edit.zero_point]
    said.append(f"+ {edit.value}: scale {edit.scale:.6g}, zero point {edit.zero_point}")
    for operator in model.main.operators:
        if operator.op in _BIASED and operator.inputs[0] == index and len(operator.inputs) > 2:
            _rescale(unpacked, model, operator, edit.scale)
    return said


def _rescale(unpacked: Any, model: Model, operator: Operator, scale: float) -> None:
    """The same real numbers for a bias, in steps of the product of what it is added to."""
    main = unpacked.subgraphs[0]
    _, weight, bias = operator.inputs[:3]
    if bias < 0 or main.tensors[bias].quantization is None or main.tensors[weight].quantization is None:
        return
    tensor = model.main.tensors[bias]
    steps = np.asarray(main.tensors[bias].quantization.scale, np.float64)
    wanted = scale * np.asarray(main.tensors[weight].quantization.scale, np.float64)
    if tensor.content is None or wanted.size not in (1, *tensor.shape):
        raise Unsupported(f"the bias of {operator.op} is computed")
    stored = load_constant(model.data, tensor)
    ends = np.iinfo(stored.dtype)
    numbers = np.clip(np.rint(stored.astype(np.float64) * steps / wanted), ends.min, ends.max).astype(stored.dtype)
    made = copy.deepcopy(main.tensors[bias])  # another operator may read the old one
    made.quantization.scale = [float(each) for each in wanted]
    made.quantization.zeroPoint = [0] * wanted.size
    unpacked.buffers.append(schema().BufferT(data=octets(numbers)))
    made.buffer, made.name = len(unpacked.buffers) - 1, f"{tensor.name}/rescaled".encode()
    main.tensors.append(made)
    main.operators[operator.index].inputs = [*operator.inputs[:2], len(main.tensors) - 1, *operator.inputs[3:]]
