"""A frozen graph in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aligner.adapters.base import not_in_float64
from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.adapters.tensorflow_adapter.program import Program

_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_ONLY_FLOAT32 = frozenset({"ResizeBilinear"})
"""Operations that answer in float32 whatever they read."""


def widened_program(flow: Dataflow) -> Program:
    """The program with every float in float64. Raises UnsupportedModelError where an operation knows no such form."""
    import tensorflow as tf

    program = flow.program
    fixed = sorted({op.type for op in flow.kept if op.type in _ONLY_FLOAT32})
    if fixed:
        raise not_in_float64(f"{', '.join(fixed)}: TensorFlow computes it in float32 alone")
    definition = type(program.graph_def)()
    definition.CopyFrom(program.graph_def)
    for node in [*definition.node, *(node for function in definition.library.function for node in function.node_def)]:
        _widen(node)
    for function in definition.library.function:
        for argument in [*function.signature.input_arg, *function.signature.output_arg]:
            argument.type = _wide(argument.type)
    for node in [node for node in definition.node if node.op in _NORMS]:
        _written_out(definition, node)
    try:
        with tf.Graph().as_default():
            tf.graph_util.import_graph_def(definition, name="")
    except (ValueError, tf.errors.OpError) as error:
        raise not_in_float64((str(error).strip().splitlines() or [""])[0][:300]) from error
    return replace(program, graph_def=definition, call=None)


def _wide(kind: int) -> int:
    from tensorflow.core.framework import types_pb2 as types

    return types.DT_DOUBLE if kind in (types.DT_FLOAT, types.DT_HALF, types.DT_BFLOAT16) else kind


def _widen(node: Any) -> None:
    import tensorflow as tf

    for value in node.attr.values():
        which = value.WhichOneof("value")
        if which == "type":
            value.type = _wide(value.type)
        elif which == "list":
            value.list.type[:] = [_wide(kind) for kind in value.list.type]
        elif which == "tensor" and _wide(value.tensor.dtype) != value.tensor.dtype:
            array = tf.make_ndarray(value.tensor).astype(np.float64)
            value.tensor.CopyFrom(tf.make_tensor_proto(array))


def _written_out(definition: Any, node: Any) -> None:
    """A fused norm by stored statistics as arithmetic, which alone has a form in float64; its name stays."""
    if node.attr["is_training"].b or node.attr["data_format"].s not in (b"", b"NHWC"):
        raise not_in_float64(f"{node.name}: a fused norm in training, or with channels first")
    x, scale, offset, mean, variance = node.input[:5]
    epsilon, base = node.attr["epsilon"].f, node.name
    number = definition.node.add(name=f"{base}/epsilon", op="Const")
    number.attr["dtype"].type = _double()
    number.attr["value"].tensor.CopyFrom(_scalar(epsilon))
    parts: Mapping[str, tuple[str, list[str]]] = {
        "total": ("AddV2", [variance, f"{base}/epsilon"]),
        "root": ("Rsqrt", [f"{base}/total"]),
        "centred": ("Sub", [x, mean]),
        "factor": ("Mul", [f"{base}/root", scale]),
        "scaled": ("Mul", [f"{base}/centred", f"{base}/factor"]),
    }
    for name, (op, inputs) in parts.items():
        part = definition.node.add(name=f"{base}/{name}", op=op, input=inputs)
        part.attr["T"].type = _double()
    node.Clear()
    node.name, node.op = base, "AddV2"
    node.input.extend([f"{base}/scaled", offset])
    node.attr["T"].type = _double()


def _double() -> int:
    from tensorflow.core.framework import types_pb2

    return int(types_pb2.DT_DOUBLE)


def _scalar(number: float) -> Any:
    import tensorflow as tf

    return tf.make_tensor_proto(np.float64(number))
