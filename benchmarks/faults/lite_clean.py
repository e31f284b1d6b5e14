"""Rewrites of a TFLite file that change nothing but its look."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.planting.lite_structure import pad_apart, padding_of
from benchmarks.faults.tflite_model import TfliteModel

LiteRewrite = Callable[[TfliteModel, np.random.Generator], bool]


def padded_apart(model: TfliteModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """What SAME adds is added by a PAD of its own."""
    found = [(each, pads) for each in model.operators if any(map(sum, pads := padding_of(model, each) or []))]
    for each, pads in found:
        pad_apart(model, each, pads)
    return bool(found)


def unfused(model: TfliteModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Activations that are part of an operator become operators."""
    kinds = schema.ActivationFunctionType
    words = {kinds.RELU: "RELU", kinds.RELU6: "RELU6"}
    found = [each for each in model.operators if getattr(each.builtinOptions, "fusedActivationFunction", 0) in words]
    for each in found:
        word = words[each.builtinOptions.fusedActivationFunction]
        each.builtinOptions.fusedActivationFunction = kinds.NONE
        model.insert_after(int(each.outputs[0]), word)
    return bool(found)


def renamed(model: TfliteModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Tensors have numbers for names; the signature says what is fed."""
    for number, tensor in enumerate(model.graph.tensors):
        tensor.name = f"t{number}"
    return True


def idle_nodes(model: TfliteModel, rng: np.random.Generator) -> bool:
    """Reshapes to the same shape stand about."""
    found = [int(index) for each in model.operators for index in each.outputs if model.floating(int(index))]
    for index in [found[int(i)] for i in rng.permutation(len(found))[:6]]:
        shape = model.shape(index)
        options = schema.ReshapeOptionsT(newShape=[*shape])
        model.insert_after(index, "RESHAPE", np.array(shape, np.int32), options=options, shape=shape)
    return bool(found)


LITE_REWRITES: Mapping[str, LiteRewrite] = {
    "padded-apart": padded_apart,
    "unfused": unfused,
    "renamed": renamed,
    "idle-nodes": idle_nodes,
}
