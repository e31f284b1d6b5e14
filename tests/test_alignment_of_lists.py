"""Recorded tensors that come without a dataflow: paired by name, ordered by the model on the other side."""

from __future__ import annotations

from dataclasses import replace

from graph_factory import GraphBuilder, conv_net

from aligner.alignment.engine import align
from aligner.records.alignment import Sketch
from aligner.records.graph import Graph, Node


def listed(graph, names):
    """The tensors of these names as a file of arrays gives them."""
    nodes = tuple(Node(n, name, "tensor", "opaque", (), (name,)) for n, name in enumerate(names))
    values = {name: graph.values[name] for name in names}
    return Graph("recording", nodes, values, {}, (), (names[-1],))


def test_tensors_are_paired_by_name_whatever_they_hold():
    graph = conv_net()
    names = [name for name in graph.values if name.startswith(("norm", "relu"))]
    sketches = {name: Sketch((1, 4, 8, 6), "float32", 0.0, 1.0 + n, -1.0, 1.0) for n, name in enumerate(graph.values)}
    wrong = {name: replace(sketches[name], rms=9.0, mean=5.0) for name in names}
    found = align(graph, listed(graph, names), reference_sketches=sketches, candidate_sketches=wrong)
    assert [(pair.reference, pair.candidate, pair.rule) for pair in found.pairs] == [(n, n, "name") for n in names]


def test_what_a_recorded_tensor_was_computed_from_is_what_the_model_says():
    graph = conv_net()
    names = [name for name in graph.values if name.startswith("relu")]
    found = align(graph, listed(graph, names))
    assert [pair.candidate_region.inputs for pair in found.pairs][1:] == [(names[0],), (names[0], names[1])]


def test_of_complex_numbers_a_slice_is_no_partner():
    builder = GraphBuilder()
    x = builder.input("x", (4, 4))
    spectrum = builder.node("other", [x], (4, 4))
    y = builder.node("abs", [spectrum], (4, 4))
    builder.values[spectrum] = replace(builder.values[spectrum], dtype="complex64")
    reference = builder.graph(y)
    other = GraphBuilder(prefix="c")
    pieces = other.node("other", [other.input("cx", (4, 4))], (2, 4, 4))
    part = other.node("slice", [pieces], (4, 4))
    candidate = other.graph(other.node("abs", [part], (4, 4)))
    found = align(reference, candidate, inputs=[("x", "cx")])
    assert {pair.reference for pair in found.pairs} == {"x", y}
