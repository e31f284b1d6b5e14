"""What repeats: equal blocks, equal weights, shared weights, depth; and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_factory import GraphBuilder, conv_net, shuffled
from test_alignment_forms import attention, pairs_of

from aligner.alignment.engine import align
from aligner.alignment.provenance import modules_called, named_nodes
from aligner.alignment.skeleton import read
from aligner.records.alignment import Sketch
from aligner.records.graph import Node, Value


def answers(reference, candidate):
    """Candidate value → reference value, the sides' prefixes taken away."""
    return {value[1:]: pair.reference[1:] for value, pair in pairs_of(reference, candidate).items()}


def itself(graph):
    return {value[1:]: value[1:] for value in graph.values}


@pytest.mark.parametrize("shared", [False, True])
def test_equal_blocks_stay_in_order(shared):
    """Twelve blocks of the same weights, stored again for each or once for all: a module called twelve times."""
    reference, candidate = attention("r", blocks=12, shared=shared), attention("c", blocks=12, shared=shared)
    assert answers(reference, candidate) == itself(reference)


def test_weights_shared_on_one_side_and_stored_twice_on_the_other():
    reference, candidate = attention("r", blocks=6, shared=True), attention("c", blocks=6)
    assert answers(reference, candidate) == itself(reference)


def test_queries_keys_and_values_with_one_weight_for_all():
    one = attention("r", blocks=2)
    kernel = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)

    def uniform(graph):
        return replace(graph, weights={k: replace(w, load=lambda: kernel) for k, w in graph.weights.items()})

    assert answers(uniform(one), uniform(attention("c", blocks=2))) == itself(one)


def test_a_network_that_was_never_loaded_is_paired_however_deep():
    reference, candidate = conv_net("r", blocks=150), conv_net("c", blocks=150, seed=1)
    assert answers(reference, candidate) == itself(reference)


def with_identities(graph, seed):
    """The graph with copies before operands picked at random."""
    rng = np.random.default_rng(seed)
    nodes, values = [], dict(graph.values)
    for node in graph.nodes:
        inputs = list(node.inputs)
        for place, name in enumerate(inputs):
            if name in graph.values and rng.integers(3) == 0:
                copy = f"copy{len(nodes)}"
                nodes.append(Node(len(nodes), copy, "Identity", "identity", (name,), (copy,)))
                values[copy] = Value(copy, copy, graph.values[name].shape, "float32")
                inputs[place] = copy
        nodes.append(replace(node, index=len(nodes), inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), values=values)


@pytest.mark.parametrize("seed", range(12))
def test_order_names_and_copies_change_nothing(seed):
    graph = [attention("r", blocks=3), attention("r", blocks=3, shared=True, flattened=True), conv_net("r", blocks=4)][
        seed % 3
    ]
    other, names = shuffled(graph, seed)
    inputs = [(graph.inputs[0], other.inputs[0])]
    found = {p.candidate: p.reference for p in align(graph, with_identities(other, seed), inputs=inputs).pairs}
    assert {names[value]: value for value in graph.values}.items() <= found.items()


def sketched(graph, numbers):
    """A sketch for each value, of numbers that are looked up by its place."""
    return {
        value: Sketch(graph.values[value].shape, "float32", 0.1, numbers(place), -9.0, 9.0, order=float(place))
        for place, value in enumerate(graph.values)
    }


def test_what_differs_upstream_may_agree_downstream():
    """A saturated softmax hides what came before it: that is no reason to doubt the pairs before it."""
    reference, candidate = attention("r"), attention("c")
    left = sketched(reference, lambda place: 1.0 + place)
    right = sketched(candidate, lambda place: 1.0 + place + (2.0 if place in {1, 2, 4, 5} else 0.0))
    found = align(reference, candidate, reference_sketches=left, candidate_sketches=right, inputs=[("rx", "cx")])
    assert "pairing suspect" not in found.unpaired_candidate.values()


def test_guards_are_seen_through():
    """softmax, then where(isnan, 0, softmax): the guarded tensor is the tensor."""

    def network(prefix, guarded):
        builder = GraphBuilder(prefix=prefix)
        value = builder.node("softmax", [builder.input(f"{prefix}x", (1, 8, 8))], (1, 8, 8))
        if guarded:
            test = builder.node("unary", [value], (1, 8, 8))
            value = builder.node("where", [test, builder.weight(np.zeros(1)), value], (1, 8, 8))
        return builder.graph(builder.node("relu", [value], (1, 8, 8)))

    reference, candidate = network("r", guarded=False), network("c", guarded=True)
    plain, test = Sketch((1, 8, 8), "float32", 0.1, 0.2, 0.0, 1.0), Sketch((1, 8, 8), "bool", 0.0, 0.0, 0.0, 0.0)
    sketches = [dict.fromkeys(graph.values, plain) for graph in (reference, candidate)]
    sketches[1]["cunary_1"] = test
    found = align(
        reference,
        candidate,
        reference_sketches=sketches[0],
        candidate_sketches=sketches[1],
        inputs=[("rx", "cx")],
    )
    pairs = {pair.candidate: pair.reference for pair in found.pairs}
    assert pairs["csoftmax_0"] == pairs["cwhere_2"] == "rsoftmax_0"


def test_further_calls_that_one_side_counts_are_calls_of_the_module():
    """Layers that share their weights, none of them loaded: the exporter calls the second call ``layer_1``."""

    def network(prefix, scopes, seed):
        builder = GraphBuilder(prefix=prefix)
        value, kernel = builder.input(f"{prefix}x", (2, 4)), np.random.default_rng(seed).normal(size=(4, 4))
        for scope in scopes:
            value = builder.node("matmul", [value, builder.weight(kernel)], (2, 4), scope)
            value = builder.node("tanh", [value], (2, 4), scope)
        return builder.graph(builder.node("softmax", [value], (2, 4)))

    graphs = network("r", ["layer", "layer"], 0), network("c", ["layer", "layer_1"], 1)
    reference, candidate = (read(graph, {}) for graph in graphs)
    modules = modules_called(reference, candidate)
    assert modules == ({}, {"layer_1": "layer"})
    assert len(named_nodes(reference, candidate, modules)) == 4
    assert len(align(*graphs, method="order").pairs) == 5
    assert modules_called(reference, read(network("c", ["layer_1", "layer_2"], 1), {})) == ({}, {})


@pytest.mark.parametrize("named", [True, False])
def test_a_layer_with_its_bias_apart_is_known_by_its_node(named):
    """Queries hold what keys hold on the other side, and are what their module's name, or their weights, say."""

    def network(prefix, apart, swapped):
        rng = np.random.default_rng(named and apart)
        builder = GraphBuilder(prefix=prefix)
        x, made, sketches = builder.input(f"{prefix}x", (8, 8)), [], {}
        for scope in ("query", "key"):
            operands = [x, builder.weight(rng.normal(size=(8, 8))), builder.weight(rng.normal(size=8))]
            value = builder.node("matmul", operands[: 3 - apart], (8, 8), scope if named else None)
            value = builder.node("add", [value, operands[2]], (8, 8)) if apart else value
            size = 1.0 + 2.0 * ((scope == "key") != swapped)
            sketches[value] = Sketch((8, 8), "float32", size + 0.1 * apart, 0.5 * size, -size, 2 * size)
            made.append(value)
        return builder.graph(builder.node("matmul", made, (8, 8))), sketches, made

    (left, seen, layers), (right, other, found) = network("r", False, False), network("c", True, True)
    pairs = align(left, right, reference_sketches=seen, candidate_sketches=other, inputs=[("rx", "cx")]).pairs
    answered = {pair.candidate: pair.reference for pair in pairs}
    assert [answered[value] for value in found] == layers


def test_a_factor_of_one_that_stands_for_another_is_paired_with_it():
    """A norm spelled out, whose trained factor is one as long as nothing was loaded."""

    def network(prefix, factor):
        builder = GraphBuilder(prefix=prefix)
        x, sketches = builder.input(f"{prefix}x", (2, 4)), {}
        size = builder.node("rsqrt", [x], (2, 1), op="Rsqrt")
        normed = builder.node("mul", [x, size], (2, 4))
        scaled = builder.node("mul", [normed, builder.weight(np.full(4, factor))], (2, 4))
        for value, at in ((x, 1.0), (normed, 1 + factor), (scaled, 1 + factor**2)):
            sketches[value] = Sketch((2, 4), "float32", at, 2 * at, -at, 4 * at)
        return builder.graph(builder.node("tanh", [scaled], (2, 4))), sketches

    (left, seen), (right, other) = network("r", 3.0), network("c", 1.0)
    pairs = align(left, right, reference_sketches=seen, candidate_sketches=other, inputs=[("rx", "cx")]).pairs
    answered = {pair.candidate: pair.reference for pair in pairs}
    assert (answered["cmul_1"], answered["cmul_2"]) == ("rmul_1", "rmul_2")


def test_a_layer_with_its_norm_folded_in_is_known_by_its_node():
    """A sum of two branches that hold what the other branch holds on the other side: names say which is which."""

    def network(prefix, folded):
        rng = np.random.default_rng(folded)
        builder = GraphBuilder(prefix=prefix)
        x, made, sketches = builder.input(f"{prefix}x", (1, 4, 8, 6)), [], {}
        for scope in ("long", "short"):
            value = builder.node("conv", [x, builder.weight(rng.normal(size=(4, 4, 1, 1)))], (1, 4, 8, 6), scope)
            if not folded:
                vectors = [builder.weight(rng.uniform(0.5, 2, 4)) for _ in range(4)]
                value = builder.node("norm", [value, *vectors], (1, 4, 8, 6), f"{scope}_norm", epsilon=1e-5)
            size = 1.0 + 2.0 * ((scope == "short") != folded)
            sketches[value] = Sketch((1, 4, 8, 6), "float32", size + 0.1 * folded, 0.5 * size, -size, 2 * size)
            made.append(value)
        return builder.graph(builder.node("relu", [builder.node("add", made, (1, 4, 8, 6))], (1, 4, 8, 6))), sketches

    (left, seen), (right, other) = network("r", False), network("c", True)
    pairs = align(left, right, reference_sketches=seen, candidate_sketches=other, inputs=[("rx", "cx")]).pairs
    answered = {pair.candidate: pair.reference for pair in pairs}
    assert (answered["cconv_0"], answered["cconv_1"]) == ("rnorm_1", "rnorm_3")
