"""A small ONNX network with one fault planted in its copy: what ``fix`` has to undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Nodes = dict[str, Any]


def build(path: Path, change: Callable[[Any], None] | None = None) -> Path:
    """Two convolutions, an activation, a normalisation, a join, a softmax; ``change`` alters the model in place."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(5)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("f4"), name)

    def integers(name: str, *values: int) -> Any:
        return numpy_helper.from_array(np.asarray(values, np.int64), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], "first", pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3]),
        node("LeakyRelu", ["a"], ["b"], "leaky", alpha=0.2),
        node("Conv", ["b", "w2", "b2"], ["c"], "second", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Relu", ["c"], ["d"], "relu"),
        node("Concat", ["d", "b"], ["e"], "join", axis=1),
        node("Mul", ["e", "factor"], ["f"], "scaled"),
        node("Slice", ["f", "starts", "ends", "axes"], ["g"], "cut"),
        node("Sub", ["g", "h0"], ["h"], "less"),
        node("ReduceMean", ["h"], ["i"], "mean", axes=[2, 3], keepdims=0),
        node("Gemm", ["i", "w3", "b3"], ["k"], "dense", transB=1),
        node("LayerNormalization", ["k", "scale", "shift"], ["l"], "norm", axis=-1, epsilon=1e-3),
        node("Softmax", ["l"], ["y"], "soft", axis=-1),
        node("Mul", ["l", "factor"], ["z"], "extra"),
    ]
    initializers = [
        weight("w1", 4, 3, 3, 3),
        weight("b1", 4),
        weight("w2", 4, 4, 3, 3),
        weight("b2", 4),
        weight("w3", 6, 8),
        weight("b3", 6),
        weight("h0", 1, 8, 1, 1),
        numpy_helper.from_array(np.full((), 1.5, "f4"), "factor"),
        integers("starts", 1),
        integers("ends", 7),
        integers("axes", 2),
        numpy_helper.from_array(rng.uniform(0.5, 2, 6).astype("f4"), "scale"),
        weight("shift", 6),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "z")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])]
    graph = helper.make_graph(nodes, "net", inputs, values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if change is not None:
        change(model)
    onnx.save(model, path)
    return path


def node(model: Any, name: str) -> Any:
    """A node by its name."""
    return next(one for one in model.graph.node if one.name == name)


def set_attribute(name: str, attribute: str, value: Any) -> Callable[[Any], None]:
    """Another value of one node's attribute."""

    def change(model: Any) -> None:
        from onnx import helper

        found = node(model, name)
        kept = [one for one in found.attribute if one.name != attribute]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(attribute, value)])

    return change


def swap_operands(name: str) -> Callable[[Any], None]:
    """The first two operands of a node in each other's place."""

    def change(model: Any) -> None:
        found = node(model, name)
        found.input[0], found.input[1] = found.input[1], found.input[0]

    return change


def set_weight(name: str, alter: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Other numbers in a stored tensor."""

    def change(model: Any) -> None:
        from onnx import numpy_helper

        tensor = next(one for one in model.graph.initializer if one.name == name)
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(alter(array), array.dtype), name))

    return change


def bypass(name: str) -> Callable[[Any], None]:
    """Leave a node of one operand out."""

    def change(model: Any) -> None:
        found = node(model, name)
        for other in model.graph.node:
            for place, value in enumerate(other.input):
                if value == found.output[0]:
                    other.input[place] = found.input[0]
        model.graph.node.remove(found)

    return change


def insert(op: str, after: str, **attributes: Any) -> Callable[[Any], None]:
    """One more node behind a value."""

    def change(model: Any) -> None:
        from onnx import helper

        for other in model.graph.node:
            for place, value in enumerate(other.input):
                if value == after:
                    other.input[place] = f"{after}_more"
        place = next(i for i, one in enumerate(model.graph.node) if after in one.output) + 1
        model.graph.node.insert(place, helper.make_node(op, [after], [f"{after}_more"], "inserted", **attributes))

    return change


def half_island(name: str) -> Callable[[Any], None]:
    """A node computed in float16."""

    def change(model: Any) -> None:
        from onnx import TensorProto, helper, numpy_helper

        found = node(model, name)
        place = list(model.graph.node).index(found)
        held = {one.name: one for one in model.graph.initializer}
        casts = []
        for at, value in enumerate(found.input):
            if value in held:
                tensor = numpy_helper.from_array(numpy_helper.to_array(held[value]).astype("f2"), f"{value}_half")
                model.graph.initializer.append(tensor)
            else:
                casts.append(
                    helper.make_node("Cast", [value], [f"{value}_half"], f"to_half_{at}", to=TensorProto.FLOAT16)
                )
            found.input[at] = f"{value}_half"
        out = found.output[0]
        found.output[0] = f"{out}_half"
        back = helper.make_node("Cast", [f"{out}_half"], [out], "from_half", to=TensorProto.FLOAT)
        model.graph.node.insert(place + 1, back)
        for cast in casts[::-1]:
            model.graph.node.insert(place, cast)

    return change


FAULTS: dict[str, Callable[[Any], None]] = {
    "pads": set_attribute("first", "pads", [0, 0, 2, 2]),
    "alpha": set_attribute("leaky", "alpha", 0.01),
    "epsilon": set_attribute("norm", "epsilon", 1e-1),
    "softmax axis": set_attribute("soft", "axis", 0),
    "operands swapped": swap_operands("less"),
    "parts swapped": swap_operands("join"),
    "slice": set_weight("starts", lambda array: array - 1),
    "constant": set_weight("factor", lambda array: array * 2),
    "kernel": set_weight("w2", lambda array: array.swapaxes(2, 3)),
    "kernel changed": set_weight("w1", lambda array: array * 1.25),
    "bias": set_weight("b3", lambda array: array * 0),
    "activation missing": bypass("relu"),
    "activation extra": insert("Sigmoid", "c"),
    "float16": half_island("dense"),
}
"""What is planted → how."""
