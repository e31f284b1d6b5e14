from __future__ import annotations

import numpy as np
import pytest

import aligner
from tests.marks import requires_onnx

pytestmark = requires_onnx


def _square(build):
    """Products and a softmax where every axis is five long; ``build(graph, x)`` makes what both sides may spell."""
    from benchmarks.converters.networks.builder import Builder

    rng = np.random.default_rng(3)
    builder = Builder(rng, {"x": rng.standard_normal((1, 5, 5)).astype(np.float32)}, opset=17)
    weight = rng.standard_normal((5, 5)).astype(np.float32)
    return builder.finish(build(builder, weight))


def _compare(tmp_path, reference, candidate):
    from benchmarks.converters.graph import to_proto

    for name, graph in (("ref", reference), ("cand", candidate)):
        (tmp_path / f"{name}.onnx").write_bytes(to_proto(graph).SerializeToString())
    return aligner.compare(str(tmp_path / "ref.onnx"), str(tmp_path / "cand.onnx"), reference.feeds)


def _plain(build, weight):
    scores = build.op("Softmax", build.op("MatMul", "x", build.keep(weight)), axis=-1)
    return build.op("MatMul", scores, build.op("Tanh", "x"))


def _transposed(build, weight, *, mistake=None):
    """Wᵀ·xᵀ, the softmax along the other axis, and both operands of the last product turned and exchanged."""
    turned = build.transpose("x", 0, 2, 1)
    scores = build.op("MatMul", build.keep(weight.T if mistake != "weight" else weight), turned)
    scores = build.op("Softmax", scores, axis=1 if mistake != "axis" else 2)
    right = build.transpose(build.op("Tanh", "x"), 0, 2, 1)
    mixed = build.op("MatMul", right, scores)
    return build.transpose(mixed, 0, *((2, 1) if mistake != "back" else (1, 2)))


def test_what_works_on_the_transpose_and_turns_it_back_is_aligned(tmp_path):
    result = _compare(tmp_path, _square(_plain), _square(_transposed))
    assert result.verdict == "aligned"
    softmax = next(pair for pair in result.pairs if pair.candidate.op == "Softmax")
    assert softmax.axes == (0, 2, 1)


@pytest.mark.parametrize(("mistake", "op"), [("weight", "MatMul"), ("axis", "Softmax"), ("back", "Transpose")])
def test_a_transpose_that_is_not_taken_as_such_is_a_fault(tmp_path, mistake, op):
    result = _compare(tmp_path, _square(_plain), _square(lambda b, w: _transposed(b, w, mistake=mistake)))
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.op == op


def test_a_layer_whose_axes_nothing_tells_leaves_the_moves_behind_it_meant(tmp_path):
    """Values by a convolution on rows, an island of transpositions, and a matrix behind it that is another."""

    def plain(build, weight):
        heads = build.reshape(build.op("MatMul", "x", build.keep(weight)), 1, 5, 5, 1)
        values = build.transpose(build.op("Concat", *[heads] * 5, axis=3), 0, 2, 1, 3)
        scores = build.op("Softmax", build.op("MatMul", values, values), axis=-1)
        mixed = build.transpose(build.op("MatMul", scores, values), 0, 2, 1, 3)
        return build.op("MatMul", build.reshape(mixed, 1, 5, 25), build.keep(np.tile(weight, (5, 1)) + 1))

    def island(build, weight):
        rows = build.op("Unsqueeze", build.transpose("x", 0, 2, 1), build.keep(np.array([3])))
        kernel = build.keep(weight.T[:, :, None, None].copy())
        values = build.op("Squeeze", build.op("Conv", rows, kernel), build.keep(np.array([3])))
        heads = build.reshape(build.transpose(values, 0, 2, 1), 1, 5, 5, 1)
        values = build.transpose(build.op("Concat", *[heads] * 5, axis=3), 0, 2, 1, 3)
        turned = build.transpose(build.op("MatMul", values, values), 0, 1, 3, 2)
        scores = build.transpose(build.op("Softmax", turned, axis=2), 0, 1, 3, 2)
        mixed = build.op("MatMul", build.transpose(values, 0, 1, 3, 2), build.transpose(scores, 0, 1, 3, 2))
        mixed = build.transpose(build.transpose(mixed, 0, 1, 3, 2), 0, 2, 1, 3)
        return build.op("MatMul", build.reshape(mixed, 1, 5, 25), build.keep(np.tile(weight, (5, 1)) + 2))

    result = _compare(tmp_path, _square(plain), _square(island))
    assert [pair.candidate.name for pair in result.introduced] == ["output"]


def test_a_node_put_behind_a_turned_tensor_is_held_against_the_turned_one(tmp_path):
    def made(build, factor):
        turned = build.transpose(build.op("Tanh", "x"), 0, 2, 1)
        turned = build.scalar("Mul", turned, factor) if factor != 1 else turned
        return build.op("MatMul", turned, build.op("Sigmoid", "x"))

    result = _compare(tmp_path, _square(lambda b, w: made(b, 1)), _square(lambda b, w: made(b, 1.5)))
    assert [pair.candidate.op for pair in result.introduced] == ["Mul"]
    assert result.to_json()["certificate"]["sufficient"]


def test_factors_in_each_others_place_that_both_differ_answer_what_they_are_nearest_to(tmp_path):
    """As few bits leave them; the softmax is spelled out on one side, so that no kind of node tells."""

    def crossed(build, weight):
        turned = build.transpose("x", 0, 2, 1)
        scores = build.op("Exp", build.scalar("Mul", build.op("MatMul", build.keep(weight.T), turned), 1.03))
        scores = build.op("Div", scores, build.op("ReduceSum", scores, build.keep(np.array([1]))))
        right = build.transpose(build.scalar("Mul", build.op("Tanh", "x"), 1.02), 0, 2, 1)
        return build.transpose(build.op("MatMul", right, scores), 0, 2, 1)

    result = _compare(tmp_path, _square(_plain), _square(crossed))
    answered = {pair.reference.op: pair.candidate.op for pair in result.pairs if pair.rule != "layout"}
    assert answered["Softmax"] == "Div"


def _enlarged(shuffle):
    """A convolution, a tanh, blocks of channels that become places, and a sum with what was read."""

    def build(builder, weight):
        picture = builder.op("Reshape", "x", builder.keep(np.array([1, 1, 5, 5])))
        kernel = np.stack([weight[:2, k : k + 2] for k in range(4)]).reshape(4, 1, 2, 2)
        small = builder.op("Tanh", builder.op("Conv", picture, builder.keep(kernel), strides=[2, 2]))
        return builder.op("Relu", shuffle(builder, small))

    return build


def _written_out(order):
    def shuffle(builder, small):
        split = builder.op("Reshape", small, builder.keep(np.array([1, 1, 2, 2, 2, 2])))
        return builder.op("Reshape", builder.transpose(split, *order), builder.keep(np.array([1, 1, 4, 4])))

    return shuffle


def _as_one(builder, small):
    return builder.op("DepthToSpace", small, blocksize=2, mode="CRD")


@pytest.mark.parametrize("turned", [False, True])
def test_blocks_moved_by_one_node_are_the_same_written_out(tmp_path, turned):
    sides = [_square(_enlarged(_as_one)), _square(_enlarged(_written_out((0, 1, 4, 2, 5, 3))))]
    result = _compare(tmp_path, *sides[:: -1 if turned else 1])
    assert result.verdict == "aligned"
    pairs = {(pair.reference.op, pair.candidate.op) for pair in result.pairs}
    assert {("Tanh", "Tanh"), ("Reshape", "DepthToSpace") if turned else ("DepthToSpace", "Reshape")} <= pairs


def test_blocks_written_out_in_another_order_are_told_at_the_move(tmp_path):
    result = _compare(tmp_path, _square(_enlarged(_as_one)), _square(_enlarged(_written_out((0, 1, 5, 2, 4, 3)))))
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.op in {"Transpose", "Reshape"}
