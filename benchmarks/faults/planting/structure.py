"""Faults in the graph itself: nodes inserted, lost, or reading the wrong thing."""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting.registry import Guilty, fault

Random = np.random.Generator


def _with_readers(model: OnnxModel, *inserted: Node) -> list[Node]:
    """An inserted node has no counterpart: what reads it is where it shows."""
    return [*inserted, *model.readers(inserted[-1].output[0])]


def _floating(model: OnnxModel, name: str) -> bool:
    tensor = model.tensors.get(name)
    return tensor is not None and tensor.dtype == np.float32 and tensor.size > 8 and model.computed(name)


@fault("concat-order")
def concat_order(model: OnnxModel, rng: Random) -> Guilty:
    """The operands of a concatenation change places."""
    node = model.pick(rng, lambda n: n.op_type == "Concat" and sum(_floating(model, name) for name in n.input) > 1)
    if node is None:
        return None
    names = list(node.input)
    del node.input[:]
    node.input.extend([*names[1:], names[0]])
    return [node]


@fault("operand-swapped")
def operand_swapped(model: OnnxModel, rng: Random) -> Guilty:
    """a − b becomes b − a."""
    node = model.pick(rng, lambda n: n.op_type in {"Sub", "Div"} and any(_floating(model, name) for name in n.input))
    if node is None:
        return None
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return [node]


@fault("residual-missing")
def residual_missing(model: OnnxModel, rng: Random) -> Guilty:
    """A skip connection is gone."""

    def joins(node: Node) -> bool:
        shapes = [model.shape(name) for name in node.input]
        both = all(_floating(model, name) for name in node.input)
        return node.op_type == "Add" and both and shapes[0] == shapes[1] and node.output[0] not in model.outputs

    node = model.pick(rng, joins)
    if node is None:
        return None
    kept = node.input[int(rng.integers(2))]
    readers = model.readers(node.output[0])
    model.remove(node, kept)
    keeper = model.producer(kept)
    return [*readers, *([keeper] if keeper is not None else [])]


@fault("flatten-order", "layout-transposition")
def flatten_order(model: OnnxModel, rng: Random) -> Guilty:
    """The pixels are flattened channels-last."""

    def flattens(node: Node) -> bool:
        if node.op_type not in {"Flatten", "Reshape"}:
            return False
        before, after = model.shape(node.input[0]), model.shape(node.output[0])
        return (
            _floating(model, node.input[0])
            and len(before) == 4
            and len(after) in {2, 3}
            and before[1] > 1
            and before[:1] == after[:1]
        )

    node = model.pick(rng, flattens)
    if node is None:
        return None
    inserted = model.insert_before(node, 0, "Transpose", perm=[0, 2, 3, 1])
    return _with_readers(model, inserted)


@fault("layout-transposition")
def transposition_inserted(model: OnnxModel, rng: Random) -> Guilty:
    """A transposition too many, between two axes of one size."""

    def axes(name: str) -> tuple[int, int] | None:
        shape = model.shape(name)
        pairs = [(i, j) for j in range(len(shape)) for i in range(j) if shape[i] == shape[j] > 2]
        return pairs[-1] if pairs else None

    node = model.pick(
        rng, lambda n: _floating(model, n.output[0]) and axes(n.output[0]) and model.consumers(n.output[0])
    )
    if node is None:
        return None
    name = node.output[0]
    i, j = axes(name)
    perm = list(range(len(model.shape(name))))
    perm[i], perm[j] = perm[j], perm[i]
    return _with_readers(
        model,
        model.insert_after(name, "Transpose", perm=perm),
    )


@fault("spatial-flip", "layout-transposition")
def spatial_flip(model: OnnxModel, rng: Random) -> Guilty:
    """A feature map is mirrored."""
    node = model.pick(
        rng,
        lambda n: (
            _floating(model, n.output[0]) and model.shape(n.output[0])[3:] > (2,) and model.consumers(n.output[0])
        ),
    )
    if node is None:
        return None
    least = np.array([-(2**31)], dtype=np.int64)
    minus = np.array([-1], dtype=np.int64)
    axis = np.array([3], dtype=np.int64)
    return _with_readers(model, model.insert_after(node.output[0], "Slice", minus, least, axis, minus))


@fault("broadcast-axis", "weights-transposed")
def broadcast_axis(model: OnnxModel, rng: Random) -> Guilty:
    """Numbers meant for the channels run along the width."""

    def fits(node: Node) -> bool:
        if node.op_type not in {"PRelu", "Add", "Mul"} or len(node.input) < 2:
            return False
        vector, shape = model.constant(node.input[1]), model.shape(node.output[0])
        return (
            vector is not None
            and len(shape) > 1
            and vector.size > 1
            and max(vector.shape) == vector.size
            and _target(vector, shape) is not None
        )

    node = model.pick(rng, fits)
    if node is None:
        return None
    vector, shape = model.constant(node.input[1]), model.shape(node.output[0])
    model.set_input(node, 1, vector.reshape(_target(vector, shape)))
    return [node]


def _target(vector: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that puts the vector on another axis of its size."""
    now = len(shape) - vector.ndim + int(np.argmax(vector.shape))
    for axis, size in enumerate(shape):
        if axis != now and size == vector.size:
            return (vector.size, *[1] * (len(shape) - axis - 1))
    return None


@fault("attention-mask", "residual-missing", "operand-swapped")
def attention_mask(model: OnnxModel, rng: Random) -> Guilty:
    """What is added to the logits of attention is lost."""

    def masks(node: Node) -> bool:
        return node.op_type == "Add" and any(reader.op_type == "Softmax" for reader in model.consumers(node.output[0]))

    node = model.pick(rng, masks)
    if node is None:
        return None
    scores = next(
        (name for name in node.input if model.shape(name) == model.shape(node.output[0]) and model.computed(name)), None
    )
    if scores is None:
        return None
    readers = model.readers(node.output[0])
    model.remove(node, scores)
    keeper = model.producer(scores)
    return [*readers, *([keeper] if keeper is not None else [])]


@fault("trace-baked-constant", "constant-changed", doubles=False)
def subgraph_baked(model: OnnxModel, rng: Random) -> Guilty:
    """A small branch became the numbers it had for another input."""

    def small(node: Node) -> bool:
        tensor = model.tensors.get(node.output[0])
        return (
            tensor is not None
            and tensor.dtype == np.float32
            and 1 < tensor.size <= 256
            and model.computed(node.output[0])
            and node.output[0] not in model.outputs
            and node.op_type not in {"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Cast"}
        )

    node = model.pick(rng, small)
    if node is None:
        return None
    name = node.output[0]
    elsewhere = OnnxModel(model.proto, {key: _other(feed, rng) for key, feed in model.feeds.items()}).tensors[name]
    readers = model.consumers(name)
    baked = onnx.helper.make_node(
        "Constant", [], [model.fresh("baked")], value=onnx.numpy_helper.from_array(elsewhere), name=model.fresh("Baked")
    )
    for reader in readers:
        for place, each in enumerate(reader.input):
            if each == name:
                reader.input[place] = baked.output[0]
    model.proto.graph.node.insert(0, baked)
    return [model.proto.graph.node[0], *model.readers(baked.output[0]), node]


def _other(feed: np.ndarray, rng: Random) -> np.ndarray:
    return rng.permutation(feed.reshape(-1)).reshape(feed.shape) * (
        1 if feed.dtype.kind == "i" else feed.dtype.type(0.7)
    )


@fault("random-op", doubles=False)
def random_op(model: OnnxModel, rng: Random) -> Guilty:
    """Noise is drawn inside the model."""
    node = model.pick(rng, lambda n: _floating(model, n.output[0]) and model.consumers(n.output[0]))
    if node is None:
        return None
    name = node.output[0]
    spread = float(model.tensors[name].std()) * 0.05
    added = model.insert_after(name, "Add", np.float32(0))
    noise = model.insert_before(added, 1, "RandomNormalLike", scale=spread)
    noise.input[0] = name
    return [noise, *_with_readers(model, added)]


@fault("precision-fp16")
def precision_fp16(model: OnnxModel, rng: Random) -> Guilty:
    """A tensor goes through float16 and back."""
    return _round_trip(model, rng, onnx.TensorProto.FLOAT16)


@fault("precision-bf16")
def precision_bf16(model: OnnxModel, rng: Random) -> Guilty:
    """A tensor goes through bfloat16 and back."""
    return _round_trip(model, rng, onnx.TensorProto.BFLOAT16)


def _round_trip(model: OnnxModel, rng: Random, dtype: int) -> Guilty:
    node = model.pick(rng, lambda n: _floating(model, n.output[0]) and model.consumers(n.output[0]))
    if node is None:
        return None
    there = model.insert_after(node.output[0], "Cast", to=dtype)
    back = model.insert_after(there.output[0], "Cast", to=onnx.TensorProto.FLOAT)
    return [there, *_with_readers(model, back)]


@fault(doubles=False)
def kernel_wrong(model: OnnxModel, rng: Random) -> Guilty:
    """One operation is off by a thousandth, as a broken kernel would be."""
    node = model.pick(rng, lambda n: _floating(model, n.output[0]) and model.consumers(n.output[0]))
    if node is None:
        return None
    return _with_readers(model, model.insert_after(node.output[0], "Mul", np.float32(1.001)))


@fault("nonfinite-introduced", doubles=False)
def nonfinite_introduced(model: OnnxModel, rng: Random) -> Guilty:
    """An operation divides by zero in a few places."""
    node = model.pick(rng, lambda n: _floating(model, n.output[0]) and model.consumers(n.output[0]))
    if node is None:
        return None
    name = node.output[0]
    divisor = np.ones(model.shape(name), dtype=np.float32)
    divisor.flat[rng.integers(divisor.size, size=2)] = 0
    return _with_readers(model, model.insert_after(name, "Div", divisor))
