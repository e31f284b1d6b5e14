"""A TorchScript program that computes in float64, whatever dtypes its tracing baked in."""

from __future__ import annotations

import copy
from typing import Any

from aligner.adapters.torchscript_adapter.taps import every_node
from aligner.errors import UnsupportedModelError

_DOUBLE = 7
_NARROW = frozenset({5, 6, 15})
"""torch's numbers of float16, float32 and bfloat16, which is how a graph names dtypes."""


def widened_module(module: Any) -> Any:
    """A wide copy of a C++ module. Raises UnsupportedModelError where it cannot be copied."""
    import torch

    try:
        wrapped = torch.jit._recursive.wrap_cpp_module(copy.deepcopy(module))
        return wrapped.double()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UnsupportedModelError.of(
            "the TorchScript module cannot be run in float64", error, "give the eager module"
        ) from error


def widen(graph: Any) -> None:
    """Make constants double, and every dtype argument that names a narrower float; changes the graph given."""
    for node in list(every_node(graph)):
        if node.kind() == "prim::Constant":
            _widen_constant(node)
        elif node.kind().startswith("aten::"):
            _widen_dtype(graph, node)


def _widen_constant(node: Any) -> None:
    if "value" in node.attributeNames() and node.kindOf("value") == "t":
        tensor = node.t("value")
        if tensor.is_floating_point():
            node.t_("value", tensor.double())
            node.output().inferTypeFrom(node.t("value"))


def _widen_dtype(graph: Any, node: Any) -> None:
    import torch

    try:
        schema = torch._C.parse_schema(node.schema())
    except RuntimeError:
        return
    for place, argument in enumerate(schema.arguments):
        if argument.name != "dtype" or place >= node.inputsSize():
            continue
        given = list(node.inputs())[place].node()
        number = given.kind() == "prim::Constant" and "value" in given.attributeNames() and given.kindOf("value") == "i"
        if number and given.i("value") in _NARROW:
            graph.setInsertPoint(node)
            node.replaceInput(place, graph.insertConstant(_DOUBLE))
