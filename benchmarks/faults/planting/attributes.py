"""Faults in the attributes of one node."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting.registry import Guilty, fault

Random = np.random.Generator


def _pads(model: OnnxModel, node: Node) -> list[int]:
    return list(model.attribute(node, "pads", []))


@fault("padding-asymmetric")
def padding_asymmetric(model: OnnxModel, rng: Random) -> Guilty:
    """All the padding goes to the end, as TensorFlow's SAME does at stride 2."""
    node = model.pick(rng, lambda n: n.op_type in {"Conv", "MaxPool"} and any(_pads(model, n)))
    if node is None:
        return None
    pads = _pads(model, node)
    half = len(pads) // 2
    moved = [begin + end for begin, end in zip(pads[:half], pads[half:], strict=True)]
    model.set_attribute(node, "pads", [0] * half + moved)
    return [node]


@fault("transposed-conv-output-padding", "padding-asymmetric")
def transposed_conv_output_padding(model: OnnxModel, rng: Random) -> Guilty:
    """The crop of a transposed convolution is taken from the other side."""
    node = model.pick(rng, lambda n: n.op_type == "ConvTranspose" and any(_pads(model, n)))
    if node is None:
        return None
    pads = _pads(model, node)
    half = len(pads) // 2
    model.set_attribute(node, "pads", [0] * half + [2 * pad for pad in pads[:half]])
    return [node]


@fault("padding-mode")
def padding_mode(model: OnnxModel, rng: Random) -> Guilty:
    """A convolution's zeros become copies of the edge."""
    node = model.pick(rng, lambda n: n.op_type == "Conv" and any(_pads(model, n)))
    if node is None:
        return None
    pads = _pads(model, node)
    half = len(pads) // 2
    around = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], dtype=np.int64)
    model.set_attribute(node, "pads", [0] * len(pads))
    pad = model.insert_before(node, 0, "Pad", around, mode="edge")
    return [pad, *model.readers(pad.output[0])]


@fault("pool-count-include-pad")
def pool_count_include_pad(model: OnnxModel, rng: Random) -> Guilty:
    """The padding is counted on one side and not on the other."""
    node = model.pick(rng, lambda n: n.op_type == "AveragePool" and any(_pads(model, n)))
    if node is None:
        return None
    model.set_attribute(node, "count_include_pad", 1 - model.attribute(node, "count_include_pad", 0))
    return [node]


@fault("resize-coordinate-mode")
def resize_coordinate_mode(model: OnnxModel, rng: Random) -> Guilty:
    """half_pixel, align_corners and asymmetric are mixed up."""
    node = model.pick(rng, lambda n: n.op_type == "Resize" and model.attribute(n, "mode", "nearest") != "nearest")
    if node is None:
        return None
    now = model.attribute(node, "coordinate_transformation_mode", "half_pixel")
    same = {"half_pixel", "pytorch_half_pixel"}
    others = [
        mode
        for mode in ("half_pixel", "align_corners", "asymmetric")
        if mode != now and not (mode in same and now in same)
    ]
    model.set_attribute(node, "coordinate_transformation_mode", others[int(rng.integers(len(others)))])
    return [node]


@fault("resize-nearest-rounding", "resize-coordinate-mode")
def resize_nearest_rounding(model: OnnxModel, rng: Random) -> Guilty:
    """Nearest rounds to the other neighbour."""
    node = model.pick(rng, lambda n: n.op_type == "Resize" and model.attribute(n, "mode", "nearest") == "nearest")
    if node is None:
        return None
    now = model.attribute(node, "nearest_mode", "round_prefer_floor")
    modes = [mode for mode in ("floor", "ceil", "round_prefer_ceil") if mode != now]
    model.set_attribute(node, "nearest_mode", modes[int(rng.integers(len(modes)))])
    return [node]


@fault("conv-stride-dilation-groups")
def conv_stride_dilation_groups(model: OnnxModel, rng: Random) -> Guilty:
    """The dilation is read wrongly; the padding makes up for the shape."""

    def fits(node: Node) -> bool:
        kernel = model.shape(node.input[1])[2:] if node.op_type == "Conv" else ()
        return bool(kernel) and set(kernel) == {3} and any(_pads(model, node))

    node = model.pick(rng, fits)
    if node is None:
        return None
    pads, dilations = _pads(model, node), list(model.attribute(node, "dilations", [1, 1]))
    other = 1 if dilations[0] > 1 else 2
    model.set_attribute(node, "dilations", [other] * len(dilations))
    model.set_attribute(node, "pads", [pad + other - dilations[0] for pad in pads])
    return [node]


@fault("depth-to-space-order")
def depth_to_space_order(model: OnnxModel, rng: Random) -> Guilty:
    """CRD is read as DCR."""
    node = model.pick(rng, lambda n: n.op_type == "DepthToSpace")
    if node is None:
        return None
    model.set_attribute(node, "mode", "DCR" if model.attribute(node, "mode", "DCR") == "CRD" else "CRD")
    return [node]


@fault("norm-epsilon")
def norm_epsilon(model: OnnxModel, rng: Random) -> Guilty:
    """A norm has the epsilon of another framework."""
    node = model.pick(rng, lambda n: n.op_type.endswith("Normalization") and n.op_type != "LpNormalization")
    if node is None:
        return None
    now = model.attribute(node, "epsilon", 1e-5)
    model.set_attribute(node, "epsilon", 1e-3 if now < 5e-4 else 1e-5)
    return [node]


@fault("activation-variant")
def activation_variant(model: OnnxModel, rng: Random) -> Guilty:
    """Another member of the family: slope, bounds, approximation."""
    known = {"LeakyRelu", "Elu", "HardSigmoid", "Gelu", "Clip", "HardSwish", "Erf"}
    node = model.pick(rng, lambda n: n.op_type in known)
    if node is None:
        return None
    if node.op_type in {"LeakyRelu", "Elu"}:
        model.set_attribute(node, "alpha", 0.01 if node.op_type == "LeakyRelu" else 0.7)
    elif node.op_type == "HardSigmoid":
        model.set_attribute(node, "alpha", 0.2)
    elif node.op_type == "Gelu":
        exact = model.attribute(node, "approximate", "none") == "none"
        model.set_attribute(node, "approximate", "tanh" if exact else "none")
    elif node.op_type == "Clip":
        model.set_input(node, 2, np.float32(4.0).reshape(()))
    elif node.op_type == "HardSwish":
        return _as_silu(model, node)
    else:
        return _as_tanh(model, node)
    return [node]


def _as_silu(model: OnnxModel, node: Node) -> Guilty:
    gate = model.insert_before(node, 0, "Sigmoid")
    node.op_type = "Mul"
    node.input.append(gate.input[0])
    return [node]


def _as_tanh(model: OnnxModel, node: Node) -> Guilty:
    """erf(x/√2) read as tanh(√(2/π)·(x + 0.044715·x³)): the cheap GELU."""
    root = model.insert_before(node, 0, "Mul", np.float32(1.41421356))
    square = model.insert_before(node, 0, "Mul")
    square.input.append(square.input[0])
    model.insert_before(node, 0, "Mul", np.float32(0.79788456 * 0.044715))
    model.insert_before(node, 0, "Add", np.float32(0.79788456))
    product = model.insert_before(node, 0, "Mul")
    product.input.append(root.output[0])
    node.op_type = "Tanh"
    return [node]


@fault("softmax-axis")
def softmax_axis(model: OnnxModel, rng: Random) -> Guilty:
    """The axis counts from the other end."""
    node = model.pick(
        rng, lambda n: n.op_type in {"Softmax", "LogSoftmax"} and sum(d > 1 for d in model.shape(n.input[0])) > 1
    )
    if node is None:
        return None
    shape = model.shape(node.input[0])
    now = model.attribute(node, "axis", -1) % len(shape)
    others = [axis for axis, size in enumerate(shape) if size > 1 and axis != now]
    model.set_attribute(node, "axis", others[-1])
    return [node]


@fault("gru-reset-after")
def gru_reset_after(model: OnnxModel, rng: Random) -> Guilty:
    """The reset gate is applied on the other side of the product."""
    node = model.pick(rng, lambda n: n.op_type == "GRU")
    if node is None:
        return None
    model.set_attribute(node, "linear_before_reset", 1 - model.attribute(node, "linear_before_reset", 0))
    return [node]


@fault("rnn-direction")
def rnn_direction(model: OnnxModel, rng: Random) -> Guilty:
    """A forward layer runs backwards."""
    node = model.pick(
        rng,
        lambda n: n.op_type in {"LSTM", "GRU"} and model.attribute(n, "direction", "forward") == "forward",
    )
    if node is None:
        return None
    model.set_attribute(node, "direction", "reverse")
    return [node]


@fault("reduce-axis-or-bias")
def reduce_axis_or_bias(model: OnnxModel, rng: Random) -> Guilty:
    """A mean divides by n − 1."""
    node = model.pick(rng, lambda n: n.op_type in {"ReduceMean", "GlobalAveragePool"})
    if node is None:
        return None
    name = node.output[0]
    size = int(np.prod(model.shape(node.input[0])) // max(1, np.prod(model.shape(name))))
    if size < 2:
        return None
    scaled = model.insert_after(name, "Mul", np.float32(size / (size - 1)))
    return [scaled, *model.readers(scaled.output[0])]


@fault("layout-transposition")
def layout_transposition(model: OnnxModel, rng: Random) -> Guilty:
    """A transposition takes the wrong axes where two of them have one size."""

    def swaps(node: Node) -> list[tuple[int, int]]:
        shape = model.shape(node.output[0])
        pairs = [(i, j) for i in range(len(shape)) for j in range(i)]
        return [(i, j) for i, j in pairs if shape[i] == shape[j] > 1]

    node = model.pick(rng, lambda n: n.op_type == "Transpose" and model.computed(n.input[0]) and swaps(n))
    if node is None:
        return None
    perm = list(model.attribute(node, "perm"))
    i, j = swaps(node)[0]
    perm[i], perm[j] = perm[j], perm[i]
    model.set_attribute(node, "perm", perm)
    return [node, *model.readers(node.output[0])]
