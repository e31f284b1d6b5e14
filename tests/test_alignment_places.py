"""Which of several nodes of one kind: by module, by tensor, by neighbours, by the part of a weight that is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_factory import GraphBuilder

from aligner.alignment.compatibility import stored_number, weight_sizes
from aligner.alignment.engine import align
from aligner.alignment.provenance import conflicting, module_ends, named_nodes
from aligner.alignment.skeleton import read
from aligner.alignment.windows import before_padding
from aligner.records.alignment import Sketch
from aligner.records.graph import Quantization, Weight


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        ("decoder.attention", "encoder.attention", True),
        ("decoder.attention", "decoder.attention", False),
        ("decoder", "decoder.attention", False),
        ("renamed", "encoder", False),
        (None, "encoder.attention", False),
    ],
)
def test_a_module_that_both_sides_name_is_a_place(reference, candidate, expected):
    known = {"decoder", "decoder.attention"}
    assert conflicting([reference, "decoder"], [candidate], (known, known))[0, 0] == expected


def rotated(prefix, lost):
    """Two factors of one module and their sum; ``lost``: the first one is computed and never read."""
    builder = GraphBuilder(prefix=prefix)
    x = builder.input(f"{prefix}x", (2, 5))
    turned = builder.node("neg", [x], (2, 5))
    first = builder.node("mul", [x, builder.weight(np.full(5, 2.0))], (2, 5), scope="rotary")
    second = builder.node("mul", [turned, builder.weight(np.full(5, 3.0))], (2, 5), scope="rotary")
    y = builder.node("tanh", [second if lost else builder.node("add", [first, second], (2, 5))], (2, 5))
    sketches = {v: Sketch((2, 5), "float32", 0.1, 1.0, -2.0, 3.0, order=0.1) for v in builder.values}
    sketches[first] = Sketch((2, 5), "float32", 0.2, 2.0, -4.0, 6.0, order=0.2)
    sketches[second] = Sketch((2, 5), "float32", -0.3, 3.0, -9.0, 6.0, order=-0.3)
    return read(builder.graph(y), sketches)


@pytest.mark.parametrize("lost", [False, True])
def test_nodes_of_one_module_answer_by_their_tensors_before_their_order(lost):
    pairs = named_nodes(rotated("r", lost=False), rotated("c", lost=lost), ({}, {}))
    assert [(one.index, other.index) for one, other in pairs] == [(1, 1), (2, 2)]


def test_between_nodes_that_are_alike_the_neighbours_decide():
    """Two products in place of one: the one that the activation reads answers, not the first."""

    def network(prefix, kinds):
        builder = GraphBuilder(prefix=prefix)
        value = builder.input(f"{prefix}x", (2, 5))
        for place, kind in enumerate(kinds):
            factor = builder.weight(np.random.default_rng([len(kinds), place]).normal(size=5))
            value = builder.node(kind, [value, factor] if kind == "mul" else [value], (2, 5))
        return builder.graph(value)

    graphs = network("r", ["cumsum", "mul", "tanh"]), network("c", ["mul", "sqrt", "mul", "tanh"])
    found = align(*graphs, method="order").pairs
    assert [(pair.reference, pair.candidate) for pair in found] == [("rmul_1", "cmul_2"), ("rtanh_2", "ctanh_3")]


def test_in_few_bits_the_nearest_tensor_decides_where_none_is_the_same():
    """One exponential, and two in its place, the first of something else: eight bits leave nothing the same."""

    def network(prefix, kinds, sizes):
        builder = GraphBuilder(prefix=prefix)
        value, sketches, found = builder.input(f"{prefix}x", (4, 8)), {}, []
        for kind, size in zip(kinds, sizes, strict=True):
            value = builder.node(kind, [value], (4, 8))
            sketches[value] = Sketch((4, 8), "float32", size, 2 * size, -size, 4 * size)
            found += [value] if kind == "exp" else []
        return builder.graph(builder.node("softmax", [value], (4, 8))), sketches, found

    left, seen, (right,) = network("r", ["tanh", "exp", "sqrt"], [1.0, 2.0, 3.0])
    other, looked, (wrong, answer) = network("c", ["tanh", "exp", "abs", "exp", "neg"], [1.01, 4.0, 5.0, 2.02, 3.02])
    for name, value in other.values.items():
        other.values[name] = replace(value, quantization=Quantization((0.01,), (0,)))
    pairs = align(left, other, reference_sketches=seen, candidate_sketches=looked).pairs
    assert {pair.candidate: pair.reference for pair in pairs}[answer] == right and wrong not in {
        pair.candidate for pair in pairs
    }


def test_of_a_weight_that_is_split_the_part_that_is_read_counts():
    builder = GraphBuilder()
    x, stored = builder.input("x", (2, 4)), builder.weight(np.ones((12, 4)))
    part = builder.node("slice", [stored], (8, 4))
    graph = builder.graph(builder.node("matmul", [x, part], (2, 8)), builder.node("matmul", [x, stored], (2, 12)))
    skeleton = read(graph, {})
    assert [weight_sizes(skeleton, node) for node in graph.nodes[1:]] == [(32,), (48,)]


def test_a_number_stored_in_few_bits_is_read_through_its_scale_and_zero_point():
    builder = GraphBuilder()
    stored, scale, zero = (builder.weight(number) for number in (-29, 0.05, 0))
    grid = Quantization((0.05,), (0,))
    builder.weights[stored] = Weight(stored, (), "int8", lambda: np.array(-29, np.int8), grid)
    decoded = builder.node("dequantize", [stored, scale, zero], ())
    graph = builder.graph(builder.node("add", [builder.input("x", (2, 4)), decoded], (2, 4)))
    assert stored_number(read(graph, {}), graph.nodes[-1]) == pytest.approx(-1.45)


def padded_net(prefix, apart, value=0.0, kind="conv"):
    """conv → relu → window → relu → conv; ``apart``: the window is padded by a node before it."""
    rng = np.random.default_rng(1)
    builder = GraphBuilder(prefix=prefix)
    kernels = [rng.normal(size=(4, 4, 1, 1)), rng.normal(size=(4, 4, 3, 3)), rng.normal(size=(4, 4, 1, 1))]
    weights = [builder.weight(kernel) for kernel in kernels]
    last = builder.input(f"{prefix}x", (1, 4, 8, 8))
    last = builder.node("conv", [last, weights[0]], (1, 4, 8, 8))
    last = builder.node("elu", [last], (1, 4, 8, 8))
    if apart:
        last = builder.node("pad", [last], (1, 4, 10, 10), value=value, mode="constant")
    more = [weights[1]] if kind == "conv" else []
    last = builder.node(kind, [last, *more], (1, 4, 8, 8))
    last = builder.node("elu", [last], (1, 4, 8, 8))
    return builder.graph(builder.node("conv", [last, weights[2]], (1, 4, 8, 8)))


@pytest.mark.parametrize(("kind", "value"), [("conv", 0.0), ("max_pool", float("-inf"))])
@pytest.mark.parametrize("inside", ["reference", "candidate"])
def test_a_window_padded_by_a_node_of_its_own_answers_the_one_that_pads_itself(kind, value, inside):
    graphs = padded_net("r", inside == "candidate", value, kind), padded_net("c", inside == "reference", value, kind)
    found = align(*graphs, inputs=[("rx", "cx")])
    kinds = {(graphs[0].values[p.reference].name[1:].split("_")[0], p.candidate[1:].split("_")[0]) for p in found.pairs}
    assert all(left == right for left, right in kinds)
    assert len(found.pairs) == 6


def test_a_border_filled_with_something_else_is_not_what_a_window_does():
    graphs = padded_net("r", False), padded_net("c", True, 1.0)
    skeleton = read(graphs[1], {})
    window = next(node for node in graphs[1].nodes if node.kind == "conv" and "cpad_2" in node.inputs)
    assert before_padding(skeleton, window, "cpad_2") == "cpad_2"


@pytest.mark.parametrize("counted", [True, False])
def test_what_a_module_gives_is_known_call_by_call_where_the_exporter_counts_its_calls(counted):
    """A cell in one node of the reference's and spelled out in the candidate, called three times."""

    def net(prefix, spelled):
        builder = GraphBuilder(prefix=prefix)
        inputs = [builder.input(f"{prefix}x{call}", (1, 4)) for call in range(3)]
        weight, state, ends = builder.weight(np.eye(4)), builder.input(f"{prefix}state", (1, 4)), []
        for call, value in enumerate(inputs):
            scope = f"cell_{call}" if spelled and counted and call else "cell"
            if spelled:
                product = builder.node("matmul", [value, weight], (1, 4), scope)
                product = builder.node("add", [product, state], (1, 4), scope)
                state = builder.node("tanh", [product], (1, 4), scope)
            else:
                state = builder.node("recurrent", [value, state, weight], (1, 4), scope)
            ends.append(builder.node("softmax", [state], (1, 4), "head"))
        return builder.graph(builder.node("concat", ends, (1, 12)))

    sides = (read(net("", spelled=spelled), {}) for spelled in (False, True))
    cells = {("recurrent_0", "tanh_2"), ("recurrent_2", "tanh_6"), ("recurrent_4", "tanh_10")}
    assert {*module_ends(*sides)} & cells == (cells if counted else set())
