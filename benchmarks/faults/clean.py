"""Rewrites that change nothing but the look of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from benchmarks.faults.onnx_model import OnnxModel

Rewrite = Callable[[OnnxModel, np.random.Generator], bool]


def padded_apart(model: OnnxModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Every convolution's padding becomes a Pad node of its own."""
    done = False
    for node in model.nodes:
        pads = list(model.attribute(node, "pads", []))
        if node.op_type != "Conv" or not any(pads):
            continue
        half = len(pads) // 2
        around = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], dtype=np.int64)
        model.set_attribute(node, "pads", [0] * len(pads))
        model.insert_before(node, 0, "Pad", around)
        done = True
    return done


def channels_last(model: OnnxModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """What follows a convolution runs channels-last, between transpositions."""
    pointwise = {"Relu", "Clip", "Sigmoid", "HardSwish", "LeakyRelu", "Elu", "Tanh", "HardSigmoid"}
    done = False
    for node in model.nodes:
        follower = model.sole_consumer(node.output[0])
        if node.op_type not in {"Conv", "Add"} or follower is None or follower.op_type not in pointwise:
            continue
        if len(model.shape(node.output[0])) != 4:
            continue
        model.insert_before(follower, 0, "Transpose", perm=[0, 2, 3, 1])
        model.insert_after(follower.output[0], "Transpose", perm=[0, 3, 1, 2])
        done = True
    return done


def double_islands(model: OnnxModel, rng: np.random.Generator) -> bool:
    """Some multiplications are computed in float64."""
    found = [
        node
        for node in model.nodes
        if node.op_type in {"Mul", "Add", "Sub"} and model.tensors[node.output[0]].dtype == np.float32
    ]
    for node in [found[int(i)] for i in rng.permutation(len(found))[:3]]:
        for place in range(len(node.input)):
            model.insert_before(node, place, "Cast", to=onnx.TensorProto.DOUBLE)
        model.insert_after(node.output[0], "Cast", to=onnx.TensorProto.FLOAT)
    del model.proto.graph.value_info[:]  # the types noted there are no longer true
    return bool(found)


def renamed(model: OnnxModel, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Every name inside becomes a number, and what exporters note is gone."""
    kept = {*model.feeds, *model.outputs}
    names: dict[str, str] = {}

    def new(name: str) -> str:
        return name if not name or name in kept else names.setdefault(name, str(1000 + len(names)))

    for initializer in model.proto.graph.initializer:
        initializer.name = new(initializer.name)
    for node in model.nodes:
        node.name = ""
        del node.metadata_props[:]
        for names_of in (node.input, node.output):
            names_of[:] = [new(name) for name in names_of]
    del model.proto.graph.value_info[:]
    return True


def idle_nodes(model: OnnxModel, rng: np.random.Generator) -> bool:
    """Identities, dropouts at rest and reshapes to the same shape stand about."""
    found = [
        node.output[0]
        for node in model.nodes
        if model.tensors[node.output[0]].dtype == np.float32 and model.consumers(node.output[0])
    ]
    for name in [found[int(i)] for i in rng.permutation(len(found))[:6]]:
        model.insert_after(name, "Identity" if rng.random() < 0.5 else "Dropout")
    return bool(found)


REWRITES: Mapping[str, Rewrite] = {
    "padded-apart": padded_apart,
    "channels-last": channels_last,
    "double-islands": double_islands,
    "renamed": renamed,
    "idle-nodes": idle_nodes,
}

PLACES: Mapping[str, frozenset[str]] = {
    "padded-apart": frozenset(
        {"resnet", "convnext", "segformer", "squeeze", "unet", "generator", "towers", "detector"}
    ),
    "channels-last": frozenset({"resnet", "mobilenet", "squeeze", "unet", "generator", "segformer", "detector"}),
}
"""The architectures that have a place for a rewrite, where not all of them do."""

PAIRS: tuple[tuple[str, str], ...] = (
    ("eager", "onnx"),
    ("eager", "folded"),
    ("eager", "dynamo"),
    ("eager", "trace"),
    ("eager", "opset13"),
    ("eager", "slim"),
    ("trace", "folded"),
    ("trace", "dynamo"),
    ("script", "onnx"),
    ("onnx", "folded"),
    ("onnx", "dynamo"),
    ("folded", "slim"),
    ("dynamo", "opset13"),
    ("eager", "float16"),
    ("folded", "float16"),
    ("eager", "int8"),
    ("folded", "int8"),
)
"""Pairs of forms that agree up to the precision they declare."""
