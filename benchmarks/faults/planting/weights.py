"""Faults in the constants of one node."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting.registry import Guilty, fault

Random = np.random.Generator
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def _weight(model: OnnxModel, node: Node) -> np.ndarray | None:
    if node.op_type not in _WEIGHTED or len(node.input) < 2:
        return None
    found = model.constant(node.input[1])
    return found if found is not None and found.ndim > 1 else None


def _weighted(model: OnnxModel, rng: Random, wanted: object = None) -> Node | None:
    fits = wanted if callable(wanted) else (lambda _: True)
    return model.pick(rng, lambda n: (w := _weight(model, n)) is not None and fits(w))


@fault("weights-transposed")
def weights_transposed(model: OnnxModel, rng: Random) -> Guilty:
    """A square matrix is stored the other way round."""
    node = _weighted(model, rng, lambda w: w.shape[0] == w.shape[1] > 1 and w.size == w.shape[0] ** 2)
    if node is None:
        return None
    model.set_input(node, 1, np.swapaxes(_weight(model, node), 0, 1))
    return [node]


@fault("weights-transposed", "spatial-flip", "weights-permuted")
def kernel_flipped(model: OnnxModel, rng: Random) -> Guilty:
    """A convolution's kernel is mirrored."""
    node = _weighted(model, rng, lambda w: w.ndim > 2 and w.shape[-1] > 1)
    if node is None:
        return None
    model.set_input(node, 1, _weight(model, node)[..., ::-1])
    return [node]


@fault("weights-permuted")
def weights_permuted(model: OnnxModel, rng: Random) -> Guilty:
    """The channels of one weight stand in another order."""
    node = _weighted(model, rng)
    if node is None:
        return None
    weight = _weight(model, node)
    axis = int(np.argmax(weight.shape[:2]))
    model.set_input(node, 1, np.roll(weight, max(1, weight.shape[axis] // 4), axis))
    return [node]


@fault("weights-changed")
def weights_changed(model: OnnxModel, rng: Random) -> Guilty:
    """One weight carries noise of a percent."""
    node = _weighted(model, rng)
    if node is None:
        return None
    weight = _weight(model, node)
    noise = rng.standard_normal(weight.shape) * 0.01 * weight.std()
    model.set_input(node, 1, (weight + noise).astype(weight.dtype))
    return [node]


@fault("weights-changed")
def one_entry_negated(model: OnnxModel, rng: Random) -> Guilty:
    """One entry of one weight has the wrong sign."""
    node = _weighted(model, rng)
    if node is None:
        return None
    weight = _weight(model, node).copy()
    place = int(rng.integers(weight.size))
    weight.flat[place] *= -1
    model.set_input(node, 1, weight)
    return [node]


@fault("weights-reduced-precision", "precision-fp16")
def weights_half(model: OnnxModel, rng: Random) -> Guilty:
    """One weight went through float16."""
    node = _weighted(model, rng)
    if node is None:
        return None
    model.set_input(node, 1, _weight(model, node).astype(np.float16).astype(np.float32))
    return [node]


@fault("weights-reduced-precision", "precision-bf16")
def weights_bfloat(model: OnnxModel, rng: Random) -> Guilty:
    """One weight went through bfloat16."""
    node = _weighted(model, rng)
    if node is None:
        return None
    bits = np.ascontiguousarray(_weight(model, node)).view(np.uint32)
    model.set_input(node, 1, ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32))
    return [node]


@fault("weights-bias-missing")
def weights_bias_missing(model: OnnxModel, rng: Random) -> Guilty:
    """A bias is lost."""

    def has_bias(node: Node) -> bool:
        return node.op_type in {"Conv", "Gemm", "ConvTranspose"} and len(node.input) > 2 and bool(node.input[2])

    node = model.pick(rng, has_bias)
    if node is None:
        return None
    model.set_input(node, 2, np.zeros_like(model.constant(node.input[2])))
    return [node]


@fault("weights-bn-fold", "weights-changed", forms=("onnx",))
def weights_bn_fold(model: OnnxModel, rng: Random) -> Guilty:
    """A batch norm was folded into the convolution, and stayed."""

    def folds(node: Node) -> bool:
        norm = model.sole_consumer(node.output[0])
        return node.op_type == "Conv" and norm is not None and norm.op_type == "BatchNormalization"

    node = model.pick(rng, folds)
    if node is None:
        return None
    norm = model.sole_consumer(node.output[0])
    scale = model.constant(norm.input[1]) / np.sqrt(model.constant(norm.input[4]) + 1e-5)
    weight = _weight(model, node)
    model.set_input(node, 1, weight * scale.reshape(-1, *[1] * (weight.ndim - 1)).astype(np.float32))
    return [node]


@fault("norm-statistics", forms=("onnx",))
def norm_statistics(model: OnnxModel, rng: Random) -> Guilty:
    """A batch norm's numbers are mixed up: mean with bias, or the variance is a deviation."""
    node = model.pick(rng, lambda n: n.op_type == "BatchNormalization")
    if node is None:
        return None
    if rng.random() < 0.5:
        node.input[2], node.input[3] = node.input[3], node.input[2]
    else:
        model.set_input(node, 4, np.sqrt(model.constant(node.input[4])))
    return [node]


@fault("norm-statistics", "weights-permuted", "weights-changed", "operand-swapped")
def norm_affine_swapped(model: OnnxModel, rng: Random) -> Guilty:
    """A norm's scale and shift are exchanged."""
    norms = {"BatchNormalization", "LayerNormalization", "InstanceNormalization"}
    node = model.pick(rng, lambda n: n.op_type in norms and len(n.input) > 2)
    if node is None:
        return None
    node.input[1], node.input[2] = node.input[2], node.input[1]
    return [node]


@fault("rnn-gate-order", "weights-permuted")
def rnn_gate_order(model: OnnxModel, rng: Random) -> Guilty:
    """Two gates of a recurrent layer change places."""
    node = model.pick(rng, lambda n: n.op_type in {"LSTM", "GRU"})
    if node is None:
        return None
    gates = 4 if node.op_type == "LSTM" else 3
    for place, blocks in ((1, gates), (2, gates), (3, 2 * gates)):
        array = model.constant(node.input[place])
        if array is None:
            return None
        parts = np.split(array, blocks, axis=1)
        for start in range(0, blocks, gates):
            parts[start], parts[start + 1] = parts[start + 1], parts[start]
        model.set_input(node, place, np.concatenate(parts, axis=1))
    return [node]


@fault("embedding-offset", "weights-permuted")
def embedding_offset(model: OnnxModel, rng: Random) -> Guilty:
    """Every row of a table is one off."""

    def table(node: Node) -> bool:
        found = model.constant(node.input[0]) if node.op_type == "Gather" else None
        return found is not None and found.ndim == 2 and len(found) > 4

    node = model.pick(rng, table)
    if node is None:
        return None
    model.set_input(node, 0, np.roll(model.constant(node.input[0]), 1, axis=0))
    return [node]


@fault("constant-changed", "attention-scale", "norm-epsilon")
def constant_changed(model: OnnxModel, rng: Random) -> Guilty:
    """A number in the formula is another one."""
    place = _scalar_operand

    node = model.pick(rng, lambda n: n.op_type in {"Mul", "Div", "Add", "Pow"} and place(model, n) is not None)
    if node is None:
        return None
    which = place(model, node)
    model.set_input(node, which, (model.constant(node.input[which]) * 1.25).astype(np.float32))
    return [node]


def _scalar_operand(model: OnnxModel, node: Node) -> int | None:
    for place in (0, 1):
        found = model.constant(node.input[place])
        if (
            found is not None
            and found.size == 1
            and found.dtype == np.float32
            and abs(found.item()) > 1e-4
            and model.computed(node.input[1 - place])
        ):
            return place
    return None


@fault("attention-scale", "constant-changed")
def attention_scale(model: OnnxModel, rng: Random) -> Guilty:
    """The scale before a softmax is lost."""

    def feeds_softmax(node: Node, depth: int) -> bool:
        return any(
            reader.op_type == "Softmax"
            or (
                depth
                and reader.op_type in {"MatMul", "Add", "Transpose", "Where", "Reshape"}
                and feeds_softmax(reader, depth - 1)
            )
            for reader in model.consumers(node.output[0])
        )

    node = model.pick(
        rng,
        lambda n: n.op_type in {"Mul", "Div"} and _scalar_operand(model, n) is not None and feeds_softmax(n, 3),
    )
    if node is None:
        return None
    model.set_input(node, _scalar_operand(model, node), np.float32(1.0))
    return [node]


@fault("weights-shared-edited", "weights-changed")
def weights_shared_edited(model: OnnxModel, rng: Random) -> Guilty:
    """A weight used twice is edited for its second user."""
    uses: dict[str, list[Node]] = {}
    for node in model.nodes:
        if _weight(model, node) is not None:
            uses.setdefault(node.input[1], []).append(node)
    shared = [nodes for nodes in uses.values() if len(nodes) > 1]
    if not shared:
        return None
    node = shared[int(rng.integers(len(shared)))][-1]
    model.set_input(node, 1, _weight(model, node) * np.float32(1.3))
    return [node]
