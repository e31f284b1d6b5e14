"""Attributes and the constants that stand for them."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.faults.registry import Planted, at, fault, pick
from benchmarks.converters.graph import Graph, Node


@fault
def pads_on_the_other_side(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Conv MaxPool AveragePool", lambda n: any(n.attributes.get("pads", ())))
    if node is None:
        return None
    pads = list(node.attributes["pads"])
    half = len(pads) // 2
    swapped = pads[half:] + pads[:half]
    if swapped == pads:
        swapped = [0] * half + [a + b for a, b in zip(pads[:half], pads[half:], strict=True)]
        kernel = node.attributes.get("kernel_shape", [1] * half)
        if node.op != "Conv" and any(pad >= size for pad, size in zip(swapped[half:], kernel, strict=True)):
            return None
    node.attributes["pads"] = swapped
    return at(node, f"pads {pads} → {swapped}")


@fault
def padding_otherwise(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A Pad node with another value, another mode, or its amounts on the other side."""
    node = pick(graph, rng, "Pad", lambda n: len(n.inputs) > 2)
    if node is None:
        return None
    style, value = int(rng.integers(3)), float(graph.constants[node.inputs[2]])
    if style == 0:
        node.inputs[2] = graph.keep(np.float32(0 if value else 1))
    elif style == 1 and value == 0:
        node.attributes["mode"] = "edge"
        del node.inputs[2]
    else:
        pads = graph.constants[node.inputs[1]]
        half = len(pads) // 2
        node.inputs[1] = graph.keep(np.concatenate([np.zeros(half, np.int64), pads[:half] + pads[half:]]))
    return at(node, "padding otherwise")


@fault
def dilation_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """Dilation 1 and 2 exchanged, pads such that the shape stays."""

    def three(node: Node) -> bool:
        kernel, pads = node.attributes.get("kernel_shape", ()), node.attributes.get("pads", ())
        return set(kernel) == {3} and len(set(pads)) == 1 and bool(pads[0])

    node = pick(graph, rng, "Conv", three)
    if node is None:
        return None
    former = node.attributes.get("dilations", [1])[0]
    rank = len(node.attributes["kernel_shape"])
    made = 2 if former == 1 else 1
    node.attributes["dilations"] = [made] * rank
    node.attributes["pads"] = [pad + made - former for pad in node.attributes["pads"]]
    return at(node, f"dilation {former} → {made}")


@fault
def stride_elsewhere(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A stride of 2 sees the odd places instead of the even ones."""
    node = pick(
        graph,
        rng,
        "Conv MaxPool",
        lambda n: (
            set(n.attributes.get("strides", ())) == {2}
            and len(set(n.attributes.get("pads", ()))) == 1
            and n.attributes["pads"][0] > 0
        ),
    )
    if node is None:
        return None
    pads = node.attributes["pads"]
    half = len(pads) // 2
    node.attributes["pads"] = [pad - 1 for pad in pads[:half]] + [pad + 1 for pad in pads[half:]]
    if node.op == "MaxPool" and node.attributes["pads"][-1] >= node.attributes["kernel_shape"][0]:
        return None
    return at(node, "strides begin one later")


@fault
def epsilon_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "BatchNormalization LayerNormalization InstanceNormalization")
    if node is None:
        return None
    made = float(rng.choice([1e-2, 0.1, 0.5]))
    node.attributes["epsilon"] = made
    return at(node, f"epsilon {made}")


@fault
def axis_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    def other(node: Node) -> bool:
        shape = graph.shape(node.output)
        axis = node.attributes.get("axis", -1) % max(len(shape), 1)
        return (
            node.op in {"Softmax", "LogSoftmax"}
            and sum(size > 1 for place, size in enumerate(shape) if place != axis) > 0
        )

    node = pick(graph, rng, "Softmax LogSoftmax", other)
    if node is None:
        return None
    shape = graph.shape(node.output)
    axis = node.attributes.get("axis", -1) % len(shape)
    others = [place for place, size in enumerate(shape) if place != axis and size > 1]
    node.attributes["axis"] = others[int(rng.integers(len(others)))]
    return at(node, f"axis {axis} → {node.attributes['axis']}")


@fault
def mean_over_another_axis(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A reduction over an axis of the same size, or whose result still fits."""
    node = pick(
        graph,
        rng,
        "ReduceMean ReduceMax ReduceSum",
        lambda n: n.attributes.get("keepdims", 1) and graph.rank(n.inputs[0]) >= 3,
    )
    if node is None:
        return None
    rank = graph.rank(node.inputs[0])
    axes = graph.constants[node.inputs[1]] if len(node.inputs) > 1 else np.array(node.attributes["axes"])
    if len(axes) != 1:
        return None
    made = (int(axes[0]) % rank) - 1 or rank - 1
    if len(node.inputs) > 1:
        node.inputs[1] = graph.keep(np.array([made], np.int64))
    else:
        node.attributes["axes"] = [made]
    return at(node, f"reduced over axis {made}")


@fault
def permutation_wrong(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A transposition that gives the same shape by another order."""

    def twins(node: Node) -> tuple[int, int] | None:
        shape = graph.shape(node.output)
        pairs = [(i, j) for i in range(len(shape)) for j in range(i) if shape[i] == shape[j] > 1]
        return pairs[0] if pairs else None

    node = pick(graph, rng, "Transpose", twins)
    if node is None:
        return None
    i, j = twins(node) or (0, 0)
    perm = list(node.attributes["perm"])
    perm[i], perm[j] = perm[j], perm[i]
    node.attributes["perm"] = perm
    return at(node, f"perm {perm}")


_OTHER = {
    "Relu": ["Tanh", "Elu", "LeakyRelu", "Abs"],
    "LeakyRelu": ["Relu", "Elu"],
    "Sigmoid": ["HardSigmoid", "Tanh"],
    "Tanh": ["Sigmoid", "Softsign"],
    "Elu": ["Selu", "Relu"],
    "HardSwish": ["Relu", "Sigmoid"],
    "HardSigmoid": ["Sigmoid"],
    "Softplus": ["Relu"],
    "Exp": ["Softplus"],
    "Erf": ["Tanh"],
    "Max": ["Min"],
    "Gelu": ["Relu", "HardSwish"],
    "ReduceMean": ["ReduceMax"],
    "GlobalAveragePool": ["GlobalMaxPool"],
    "MaxPool": ["AveragePool"],
    "AveragePool": ["MaxPool"],
    "Sqrt": ["Identity"],
    "Softmax": ["LogSoftmax", "Sigmoid"],
}


@fault
def operation_replaced(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, _OTHER, lambda n: graph.floating(n.output))
    if node is None:
        return None
    former, node.op = node.op, str(rng.choice(_OTHER[node.op]))
    kept = (
        {"kernel_shape", "strides", "pads", "axes", "keepdims"}
        if former.startswith(("Reduce", "Max", "Ave"))
        else set()
    )
    kept |= {"axis"} if node.op == "LogSoftmax" else set()
    node.attributes = {name: value for name, value in node.attributes.items() if name in kept}
    return at(node, f"{former} → {node.op}")


@fault
def slope_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "LeakyRelu PRelu HardSigmoid Elu")
    if node is None:
        return None
    if node.op == "PRelu":
        node.inputs[1] = graph.keep(np.float32(0.5) * graph.constants[node.inputs[1]])
    else:
        node.attributes["alpha"] = {"LeakyRelu": 0.3, "HardSigmoid": 0.2, "Elu": 0.5}[node.op]
    return at(node, "slope changed")


@fault
def bounds_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Clip Min Max", lambda n: any(i in graph.constants for i in n.inputs[1:]))
    if node is None:
        return None
    places = [place for place, name in enumerate(node.inputs) if place and name in graph.constants]
    place = places[int(rng.integers(len(places)))]
    node.inputs[place] = graph.keep(graph.constants[node.inputs[place]] * np.float32(0.5) + np.float32(0.1))
    return at(node, "bounds changed")


@fault
def padding_counted(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "AveragePool", lambda n: any(n.attributes.get("pads", ())))
    if node is None:
        return None
    node.attributes["count_include_pad"] = 1 - node.attributes.get("count_include_pad", 0)
    return at(node, "count_include_pad flipped")


@fault
def resize_mode(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Resize")
    if node is None:
        return None
    among = ["half_pixel", "align_corners", "asymmetric"]
    if node.attributes.get("mode") == "nearest":
        node.attributes.update(mode="linear", coordinate_transformation_mode="half_pixel")
        node.attributes.pop("nearest_mode", None)
    else:
        former = node.attributes.get("coordinate_transformation_mode", "half_pixel")
        node.attributes["coordinate_transformation_mode"] = str(rng.choice([each for each in among if each != former]))
    return at(node, f"resize {node.attributes}")


@fault
def shuffle_order(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "DepthToSpace")
    if node is None:
        return None
    node.attributes["mode"] = "DCR"
    return at(node, "CRD → DCR")


@fault
def equation_changed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "Einsum", lambda n: len(set(graph.shape(n.inputs[1])[-2:])) == 1)
    if node is None:
        return None
    left, right = node.attributes["equation"].split("->")
    first, second = left.split(",")
    node.attributes["equation"] = f"{first},{second[:-2]}{second[-1]}{second[-2]}->{right}"
    return at(node, node.attributes["equation"])


@fault
def reset_after(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "GRU")
    if node is None:
        return None
    node.attributes["linear_before_reset"] = 1 - node.attributes.get("linear_before_reset", 0)
    return at(node, "linear_before_reset flipped")


@fault
def direction_reversed(graph: Graph, rng: np.random.Generator) -> Planted | None:
    node = pick(graph, rng, "LSTM GRU", lambda n: n.attributes.get("direction", "forward") != "bidirectional")
    if node is None:
        return None
    node.attributes["direction"] = "reverse" if node.attributes.get("direction", "forward") == "forward" else "forward"
    return at(node, "direction reversed")
