"""Forms of one tensor: told apart by how they were moved, never by their numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_factory import GraphBuilder

from aligner.alignment.element_order import axes_into, flat, permuted, plain, regrouped
from aligner.alignment.engine import align
from aligner.alignment.skeleton import read
from aligner.records.alignment import Sketch
from aligner.records.axis_order import fits, to_candidate, to_reference


def moved_at_random(rng):
    """An array of its own indices, reshaped and transposed a few times, and what is known of its order."""
    shape = tuple(rng.permutation([2, 3, 4, 2]))
    array, order = np.arange(48).reshape(shape), plain(shape)
    for _ in range(rng.integers(4)):
        if rng.integers(2):
            axes = rng.permutation(array.ndim)
            array, order = array.transpose(axes), permuted(order, axes)
        else:
            shape = [(6, 8), (2, 24), (12, 4), (2, 3, 8), (4, 3, 2, 2), (48,), (1, 6, 1, 8)][rng.integers(7)]
            after = regrouped(order, shape)
            if after is not None:
                array, order = array.reshape(shape), after
    return array, order


@pytest.mark.parametrize("seed", range(60))
def test_orders_say_what_numpy_does(seed):
    rng = np.random.default_rng(seed)
    (left, one), (right, other) = moved_at_random(rng), moved_at_random(rng)
    assert (flat(one) == flat(other)) == np.array_equal(left.ravel(), right.ravel())
    axes = axes_into(one, other)
    if axes:
        assert fits(left.shape, axes, right.shape)
        assert np.array_equal(to_candidate(left, axes, right.shape), right)
        assert np.array_equal(to_reference(right, axes, left.shape), left)


def attention(prefix, *, flattened=False, scale=1.0, blocks=1, seed=0, shared=False):
    """Blocks of self attention over square weights; ``flattened`` computes each product on two axes."""
    builder = GraphBuilder(prefix=prefix)
    value = builder.input(f"{prefix}x", (1, 8, 8))
    rng = np.random.default_rng(seed)
    once = [rng.normal(size=(8, 8)) for _ in range(3)]

    def product(source, weight):
        if not flattened:
            return builder.node("matmul", [source, weight], (1, 8, 8))
        two = builder.node("reshape", [source], (8, 8))
        return builder.node("reshape", [builder.node("matmul", [two, weight], (8, 8))], (1, 8, 8))

    stored = [builder.weight(kernel) for kernel in once]
    for _ in range(blocks):
        weights = stored if shared else [builder.weight(scale * kernel) for kernel in once]
        query, key, values = (product(value, weight) for weight in weights)
        turned = builder.node("transpose", [key], (1, 8, 8), perm=(0, 2, 1))
        scores = builder.node("softmax", [builder.node("matmul", [query, turned], (1, 8, 8))], (1, 8, 8))
        mixed = builder.node("matmul", [scores, values], (1, 8, 8))
        value = builder.node("add", [mixed, value], (1, 8, 8))
    return builder.graph(value)


def pairs_of(reference, candidate):
    inputs = list(zip(reference.inputs, candidate.inputs, strict=True))
    return {pair.candidate: pair for pair in align(reference, candidate, inputs=inputs).pairs}


def computing(graph):
    """The outputs of nodes that compute something, in order."""
    return [node.outputs[0] for node in graph.nodes if node.kind not in {"reshape", "identity", "transpose"}]


@pytest.mark.parametrize("sides", [(False, True), (True, False), (True, True)])
def test_products_on_flattened_tensors_answer_all_their_forms(sides):
    reference, candidate = attention("r", flattened=sides[0]), attention("c", flattened=sides[1])
    pairs = pairs_of(reference, candidate)
    assert set(pairs) == set(candidate.values)
    answers = dict(zip(computing(candidate), computing(reference), strict=True))
    shapes = {value: candidate.values[value].shape for value in pairs}
    for value, other in answers.items():
        assert shapes[value] != reference.values[other].shape or pairs[value].reference == other
    assert {pair.axes for pair in pairs.values()} == {None}


def test_square_forms_are_not_confused():
    """One side transposes a square matrix before, the other not at all: no transposed form answers a plain one."""

    def network(prefix, turned):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 8, 8))
        h = builder.node("relu", [x], (1, 8, 8))
        if turned:
            extra = builder.node("transpose", [h], (1, 8, 8), perm=(0, 2, 1))
            h = builder.node("transpose", [extra], (1, 8, 8), perm=(0, 2, 1))
        return builder.graph(builder.node("sigmoid", [h], (1, 8, 8)))

    pairs = pairs_of(network("r", turned=False), network("c", turned=True))
    assert pairs["ctranspose_1"].axes == (0, 2, 1)
    assert pairs["ctranspose_2"].axes is None
    assert {pairs[f"ctranspose_{place}"].reference for place in (1, 2)} == {"rrelu_0"}


def test_directions_of_a_recurrent_layer_answer_the_joined_tensor():
    """[batch, steps, 2 × hidden] on one side, [steps, 2, batch, hidden] moved into it on the other."""

    def network(prefix, split):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (2, 5, 6))
        if split:
            h = builder.node("recurrent", [x], (5, 2, 2, 3))
            turned = builder.node("transpose", [h], (2, 5, 2, 3), perm=(2, 0, 1, 3))
            h = builder.node("reshape", [turned], (2, 5, 6))
        else:
            h = builder.node("recurrent", [x], (2, 5, 6))
        return builder.graph(builder.node("relu", [h], (2, 5, 6)))

    pairs = pairs_of(network("r", split=False), network("c", split=True))
    joined = np.arange(60).reshape(2, 5, 6)
    split = joined.reshape(2, 5, 2, 3).transpose(1, 2, 0, 3)
    assert np.array_equal(to_candidate(joined, pairs["crecurrent_0"].axes, (5, 2, 2, 3)), split)
    back = pairs_of(network("r", split=True), network("c", split=False))
    assert back["crecurrent_0"].reference == "rreshape_2"


def test_a_reduction_moved_past_a_transposition_is_no_misfit():
    """Two axes of one size: which is which cannot be told of the tensor between, and is known of the one after."""

    def network(prefix, before):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (6, 6, 2, 5))
        if before:
            turned = builder.node("transpose", [x], (6, 2, 6, 5), perm=(0, 2, 1, 3))
            h = builder.node("reduce", [turned], (6, 2, 6, 1))
        else:
            reduced = builder.node("reduce", [x], (6, 6, 2, 1))
            h = builder.node("transpose", [reduced], (6, 2, 6, 1), perm=(0, 2, 1, 3))
        return builder.graph(builder.node("clip", [h], (6, 2, 6, 1)))

    pairs = pairs_of(network("r", before=True), network("c", before=False))
    assert all(pair.note is None for pair in pairs.values())
    assert pairs["ctranspose_1"].reference == "rreduce_1"


def test_a_convolution_on_blocks_of_its_tensor_is_no_misfit():
    """A dilated convolution between a split into blocks and its undoing; on the other side one node."""

    def network(prefix, blocks):
        builder = GraphBuilder(prefix=prefix)
        h = builder.input(f"{prefix}x", (1, 4, 8, 8))
        kernel = builder.weight(np.random.default_rng(0).normal(size=(4, 4, 3, 3)))
        if blocks:
            h = builder.node("other", [h], (4, 4, 6, 6))
        h = builder.node("conv", [h, kernel], (4, 4, 4, 4) if blocks else (1, 4, 8, 9))
        if blocks:
            h = builder.node("other", [h], (1, 4, 8, 9))
        return builder.graph(builder.node("tanh", [h], (1, 4, 8, 9)))

    graphs = network("r", blocks=True), network("c", blocks=False)
    sketches = [
        {v: Sketch(g.values[v].shape, "float32", 0.1, 1.0 + (v == g.outputs[0]), -2.0, 3.0) for v in g.values}
        for g in graphs
    ]
    found = align(*graphs, reference_sketches=sketches[0], candidate_sketches=sketches[1], inputs=[("rx", "cx")])
    assert found.pairs[-1].candidate == "ctanh_1"
    assert all(pair.note is None for pair in found.pairs)


@pytest.mark.parametrize(("kind", "order", "moves"), [("slice", 0.4, False), ("pad", 0.4, False), ("slice", 0.2, True)])
def test_what_keeps_the_shape_and_moves_elements_is_not_seen_through(kind, order, moves):
    """A slice with a step of −1, padding by 1 and −1: another tensor, not another form of the one before."""
    builder = GraphBuilder()
    x = builder.input("x", (2, 5))
    y = builder.node(kind, [x], (2, 5))
    graph = builder.graph(y)
    sketches = {x: Sketch((2, 5), "float32", 0.1, 1.0, -2.0, 3.0, order=0.2)}
    sketches[y] = replace(sketches[x], order=order)
    assert read(graph, sketches).moves(graph.nodes[0]) is moves
