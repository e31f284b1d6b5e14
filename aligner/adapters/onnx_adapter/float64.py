"""An ONNX model in float64, which onnxruntime has few kernels for (no Conv, no Erf) and ONNX's own evaluator all."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.base import Feeds, Injection, Session, not_in_float64
from aligner.adapters.onnx_adapter.names import subgraphs
from aligner.adapters.onnx_adapter.program import Program
from aligner.errors import ModelExecutionError, UnsupportedModelError
from aligner.operations.kinds import CONVOLUTIONS
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

_DOUBLE = 11
_NARROW = frozenset({1, 10, 16})
"""float32, float16, bfloat16."""
_COSTLY = 2e10
"""Products above which the evaluator, which is numpy, would take more than some ten seconds."""
_LOOPING = frozenset({"Resize", "Upsample", "GridSample", "RoiAlign", "AveragePool", "MaxPool", "LpPool", "Col2Im"})
_LONG_LOOP = 200_000
"""Output elements above which an operator that the evaluator loops over in Python is too slow."""


class WideOnnxSession(Session):
    """Runs node by node; graph, value ids and feeds are those of the session it comes from."""

    framework: ClassVar[str] = "onnx"

    def __init__(self, session: Session, program: Callable[[Feeds], Program]) -> None:
        self._session, self._program = session, program

    @property
    def runtime(self) -> str:
        return "onnx.reference, float64"

    @property
    def signature(self) -> Signature:
        return self._session.signature

    def graph(self, feeds: Feeds | None) -> Graph:
        return self._session.graph(None if feeds is None else self._declared(feeds))

    def _declared(self, feeds: Feeds) -> dict[str, Any]:
        """As the model takes them, which decides its branches: what a step has given back is of float64."""
        dtypes = {spec.name: spec.dtype for spec in self.signature.inputs}
        return {
            name: array.astype(dtypes[name]) if array.dtype == np.float64 and dtypes.get(name) else array
            for name, array in feeds.items()
        }

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        outputs = self.graph(feeds).outputs
        found = {tensor.value: tensor for tensor in self.run(feeds, set(outputs))}
        return tuple(found[name] for name in outputs if name in found)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        graph, program = self.graph(feeds), self._program(self._declared(feeds))
        _check_cost(graph)
        wanted = frozenset(graph.values) - program.constants.keys() if observe is None else frozenset(observe)
        results = _constants(program) | {name: _wide(array) for name, array in feeds.items()}
        if inject is None:
            inject = {}
        for name in feeds:
            yield from _given(name, results, wanted, inject)
        evaluator = _evaluator(program)
        for node in evaluator.rt_nodes_:
            for name, value in zip(node.output, _computed(node, results), strict=False):
                results[name] = value
                yield from _given(name, results, wanted, inject)


def _given(name: str, results: dict[str, Any], wanted: frozenset[str], inject: Injection) -> Iterator[CapturedTensor]:
    value = results.get(name)
    if name and isinstance(value, np.ndarray) and value.dtype != object and name in wanted:
        owned = np.array(value, copy=True, order="C")
        owned.flags.writeable = False
        yield CapturedTensor(name, owned, str(owned.dtype))
    if name in inject:
        try:
            results[name] = _wide(inject[name])
        except KeyError:  # the injection offers it and has none for this run
            return


def _computed(node: Any, results: dict[str, Any]) -> tuple[Any, ...]:
    inputs = [results[name] if name else None for name in node.input]
    context = {"context": results} if node.need_context() else {}
    try:
        with np.errstate(all="ignore"):
            return tuple(_wide(value) for value in node.run(*inputs, **context))
    except Exception as error:
        raise ModelExecutionError(
            f"onnx.reference failed in float64 at {node.onnx_node.name or node.output[0]} ({node.onnx_node.op_type})",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="take the model that this one was exported from as the reference",
        ) from error


def _evaluator(program: Program) -> Any:
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.ModelProto(ir_version=program.model.ir_version)
    model.opset_import.extend(program.model.opset_import)
    model.graph.name = "wide"
    model.graph.node.extend(program.nodes)
    _widen(model.graph)
    known = {name: kind.element for name, kind in program.types.items() if kind.tensor and kind.element}
    known |= {name: tensor.data_type for name, tensor in program.initializers.items()}
    model.graph.input.extend(  # operators that are functions of others are expanded by the types of what they read
        onnx.helper.make_tensor_value_info(name, _DOUBLE if element in _NARROW else element, None)
        for name, element in known.items()
    )
    try:
        return ReferenceEvaluator(model)
    except Exception as error:
        raise not_in_float64(f"onnx.reference: {type(error).__name__}: {error}"[:300]) from error


def _constants(program: Program) -> dict[str, Any]:
    file = program.file
    return {
        name: _wide(file.array(file.tensors.get(name, tensor))) for name, tensor in program.initializers.items()
    } | {"": None}


def _wide(value: Any) -> Any:
    narrow = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f"
    return np.asarray(value, np.float64) if narrow else value


def _widen(graph: Any) -> None:
    """Constants, casts and made tensors in float64; changes the graph given."""
    from onnx import numpy_helper

    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i in _NARROW:
                attribute.i = _DOUBLE
            if attribute.HasField("t") and attribute.t.data_type in _NARROW:
                array = numpy_helper.to_array(attribute.t).astype("float64")
                attribute.t.CopyFrom(numpy_helper.from_array(array, attribute.t.name))
        for _, inner in subgraphs(node):
            _widen(inner)


def _check_cost(graph: Graph) -> None:
    products = 0
    for node in graph.nodes:
        sizes = [_size(graph.values[name].shape) for name in node.outputs if name in graph.values]
        elements = max(sizes, default=0)
        if node.op in _LOOPING and elements > _LONG_LOOP:
            raise _too_slow(f"{node.op} {node.name} makes {elements:,} elements")
        kernels = [graph.weights[name].shape for name in node.weights if name in graph.weights]
        if node.kind in CONVOLUTIONS:
            products += elements * max((math.prod(shape[1:]) for shape in kernels if len(shape) > 1), default=1)
        elif node.kind == "matmul":
            inner = [graph.values[name].shape for name in node.inputs if name in graph.values]
            products += elements * max((shape[-1] or 1 for shape in inner if shape), default=1)
    if products > _COSTLY:
        raise _too_slow(f"{products:.1g} products")


def _too_slow(found: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        "the ONNX model is too large to be run in float64",
        found=f"{found}; onnxruntime has no float64 kernels, and ONNX's reference evaluator would take minutes",
        hint="take the model that this one was exported from as the reference, or a smaller input",
    )


def _size(shape: tuple[int | None, ...] | None) -> int:
    return math.prod(dim or 1 for dim in shape) if shape is not None else 0
