"""Equal sizes: which axis is which follows from how it was moved and from how it is read, not from shapes."""

from __future__ import annotations

import numpy as np
import pytest
from graph_factory import GraphBuilder

from aligner.alignment.engine import align

SIZE = 4


def axes_of(reference, candidate):
    inputs = list(zip(reference.inputs, candidate.inputs, strict=True))
    return {pair.candidate: pair.axes for pair in align(reference, candidate, inputs=inputs).pairs}


def weights(builder, count, seed=0):
    rng = np.random.default_rng(seed)
    return [builder.weight(rng.normal(size=(SIZE, SIZE))) for _ in range(count)]


def softmax_net(prefix, *, turned=False, axis=-1, back=True):
    """x·W → softmax → ·W; ``turned``: the softmax runs on the transposed square matrix."""
    builder = GraphBuilder(prefix=prefix)
    one, two = weights(builder, 2)
    value = builder.node("matmul", [builder.input(f"{prefix}x", (SIZE, SIZE)), one], (SIZE, SIZE))
    if turned:
        value = builder.node("transpose", [value], (SIZE, SIZE), perm=(1, 0))
    value = builder.node("relu", [value], (SIZE, SIZE))
    value = builder.node("softmax", [value], (SIZE, SIZE), axis=axis)
    if turned and back:
        value = builder.node("transpose", [value], (SIZE, SIZE), perm=(1, 0))
    return builder.graph(builder.node("matmul", [value, two], (SIZE, SIZE)))


def test_a_softmax_on_the_transposed_matrix_is_followed():
    axes = axes_of(softmax_net("r"), softmax_net("c", turned=True, axis=0))
    assert axes == {
        "cx": None,
        "cmatmul_0": None,
        "ctranspose_1": (1, 0),
        "crelu_2": (1, 0),
        "csoftmax_3": (1, 0),
        "ctranspose_4": None,
        "cmatmul_5": None,
    }


@pytest.mark.parametrize(("axis", "back"), [(-1, True), (-1, False), (0, False)])
def test_a_transposition_that_its_readers_do_not_follow_is_not_meant(axis, back):
    axes = axes_of(softmax_net("r"), softmax_net("c", turned=True, axis=axis, back=back))
    assert axes["ctranspose_1"] is None and axes["csoftmax_3"] is None


def test_a_transposition_before_an_output_is_not_meant():
    def net(prefix, turned):
        builder = GraphBuilder(prefix=prefix)
        value = builder.node("matmul", [builder.input(f"{prefix}x", (SIZE, SIZE)), *weights(builder, 1)], (SIZE, SIZE))
        if turned:
            value = builder.node("transpose", [value], (SIZE, SIZE), perm=(1, 0))
        return builder.graph(builder.node("relu", [value], (SIZE, SIZE)))

    axes = axes_of(net("r", turned=False), net("c", turned=True))
    assert axes["ctranspose_1"] is None and axes["crelu_2"] is None


def product_net(prefix, *, turned, swapped=False):
    """(x·A)·(x·B)·C, the product of the two spelled (BᵀAᵀ)ᵀ where ``turned``; ``swapped``: without the last turn."""
    builder = GraphBuilder(prefix=prefix)
    shape, x = (2, SIZE, SIZE), builder.input(f"{prefix}x", (2, SIZE, SIZE))
    one, two, last = weights(builder, 3)
    left, right = builder.node("matmul", [x, one], shape), builder.node("matmul", [x, two], shape)
    if turned:
        left = builder.node("transpose", [left], shape, perm=(0, 2, 1))
        right = builder.node("transpose", [right], shape, perm=(0, 2, 1))
        value = builder.node("matmul", [right, left], shape)
        if not swapped:
            value = builder.node("transpose", [value], shape, perm=(0, 2, 1))
    else:
        value = builder.node("matmul", [left, right], shape)
    return builder.graph(builder.node("matmul", [value, last], shape))


def test_a_product_of_transposes_is_the_transpose_of_the_product():
    axes = axes_of(product_net("r", turned=False), product_net("c", turned=True))
    assert axes["ctranspose_2"] == axes["ctranspose_3"] == axes["cmatmul_4"] == (0, 2, 1)
    assert axes["ctranspose_5"] is None and axes["cmatmul_6"] is None


def test_a_product_that_is_not_turned_back_has_moves_that_are_not_meant():
    axes = axes_of(product_net("r", turned=False), product_net("c", turned=True, swapped=True))
    assert axes["ctranspose_2"] is None and axes["cmatmul_4"] is None


def test_a_sum_with_what_was_not_moved_is_not_meant():
    def net(prefix, turned):
        builder = GraphBuilder(prefix=prefix)
        shape, x = (SIZE, SIZE), builder.input(f"{prefix}x", (SIZE, SIZE))
        one, two = weights(builder, 2)
        value = builder.node("matmul", [x, one], shape)
        if turned:
            value = builder.node("transpose", [value], shape, perm=(1, 0))
        value = builder.node("add", [value, x], shape)
        if turned:
            value = builder.node("transpose", [value], shape, perm=(1, 0))
        return builder.graph(builder.node("matmul", [value, two], shape))

    axes = axes_of(net("r", turned=False), net("c", turned=True))
    assert axes["ctranspose_1"] is None and axes["cadd_2"] is None


@pytest.mark.parametrize("back", [True, False])
def test_a_move_behind_a_node_that_nothing_answers_is_followed_too(back):
    """A clip put into (WᵀXᵀ)ᵀ stands between the product and the turn back, and has no partner."""

    def net(prefix, turned):
        builder = GraphBuilder("onnx", prefix=prefix)  # whose layers are understood
        shape, x = (SIZE, SIZE), builder.input(f"{prefix}x", (SIZE, SIZE))
        matrix = np.random.default_rng(0).normal(size=shape)
        bias = builder.weight(np.arange(SIZE) + 0.5)
        if turned:
            value = builder.node("transpose", [x], shape, perm=(1, 0))
            value = builder.node("matmul", [builder.weight(matrix.T), value], shape, op="MatMul")
            value = builder.node("clip", [value], shape)
            value = builder.node("transpose", [value], shape, perm=(1, 0)) if back else value
        else:
            value = builder.node("matmul", [x, builder.weight(matrix)], shape, op="MatMul")
        return builder.graph(builder.node("add", [value, bias], shape))

    given = [("rmatmul_0", "cmatmul_1")]
    found = align(net("r", turned=False), net("c", turned=True), inputs=[("rx", "cx")], mapping=given)
    axes = {pair.candidate: pair.axes for pair in found.pairs}
    assert axes["ctranspose_0"] == axes["cmatmul_1"] == ((1, 0) if back else None)
    assert axes["cadd_4" if back else "cadd_3"] is None


@pytest.mark.parametrize(("window", "meant"), [(1, True), (3, False)])
def test_a_convolution_by_one_place_is_a_product_on_either_side(window, meant):
    """Channels C before places H, W, all of one size, as W·[H, C, W]: the turn is meant, but not before a window."""
    channels, places = (1, SIZE, SIZE, SIZE), (1, SIZE, SIZE, SIZE)
    kernel = np.random.default_rng(0).normal(size=(SIZE, SIZE, window, window))

    def net(prefix, turned):
        builder = GraphBuilder("onnx", prefix=prefix)
        value = builder.node("relu", [builder.input(f"{prefix}x", channels)], channels)
        if turned:
            value = builder.node("transpose", [value], places, perm=(0, 2, 1, 3))
            value = builder.node("matmul", [builder.weight(kernel[:, :, 0, 0]), value], places, op="MatMul")
            value = builder.node("clip", [value], places)
            value = builder.node("transpose", [value], channels, perm=(0, 2, 1, 3))
        else:
            pads = ((window // 2, window // 2),) * 2
            value = builder.node("conv", [value, builder.weight(kernel)], channels, op="Conv", pads=pads)
        return builder.graph(builder.node("sigmoid", [value], channels))

    given = [("rconv_1", "cmatmul_2")]
    found = align(net("r", turned=False), net("c", turned=True), inputs=[("rx", "cx")], mapping=given)
    axes = {pair.candidate: pair.axes for pair in found.pairs}
    assert axes["ctranspose_1"] == axes["cmatmul_2"] == ((0, 2, 1, 3) if meant else None)


def test_a_reshape_that_drops_axes_of_length_one_moves_nothing():
    """What is behind it keeps its axes: here a head's slices, taken before the transposition and after it."""

    def net(prefix, late):
        builder = GraphBuilder(prefix=prefix)
        kernel = builder.weight(np.random.default_rng(0).normal(size=(32, 32)))
        value, rows = builder.input(f"{prefix}x", (1, 16, 32)), (16, 32) if late else (1, 16, 32)
        if late:
            value = builder.node("reshape", [value], rows)
        value = builder.node("matmul", [value, kernel], rows)
        value = builder.node("reshape", [value], (1, 16, 4, 8))
        if not late:
            value = builder.node("transpose", [value], (1, 4, 16, 8), perm=(0, 2, 1, 3))
        shape = (1, 16, 4, 4) if late else (1, 4, 16, 4)
        value = builder.node("slice", [value], shape, starts=(0,), ends=(4,), axes=(3,), steps=(1,))
        if late:
            value = builder.node("transpose", [value], (1, 4, 16, 4), perm=(0, 2, 1, 3))
        return builder.graph(builder.node("relu", [value], (1, 4, 16, 4)))

    assert axes_of(net("r", late=False), net("c", late=True))["cslice_3"] == (0, 2, 1, 3)
