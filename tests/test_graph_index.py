"""A graph answers who makes, who reads and what lies between, without numpy and without changing."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest

from aligner.records.graph import Graph, Node, Value


def _node(index, kind, inputs, outputs):
    return Node(index, f"n{index}", kind, kind, tuple(inputs), tuple(outputs))


@pytest.fixture
def graph():
    """x → a → (b, c) → d, with c also read twice by one node, beside a constant k."""
    nodes = (
        _node(0, "relu", ["x"], ["a"]),
        _node(1, "split", ["a"], ["b", "c"]),
        _node(2, "constant", [], ["k"]),
        _node(3, "mul", ["c", "c"], ["e"]),
        _node(4, "add", ["b", "k", ""], ["f"]),
        _node(5, "add", ["e", "f"], ["d"]),
    )
    names = ("x", "a", "b", "c", "k", "e", "f", "d")
    return Graph("toy", nodes, {name: Value(name, name) for name in names}, {}, ("x",), ("d",))


def test_producer_and_readers(graph):
    assert graph.producer("c").name == "n1" and graph.producer("x") is None and graph.producer("") is None
    assert [node.name for node in graph.readers("c")] == ["n3"]
    assert [node.name for node in graph.readers("a")] == ["n1"]
    assert not graph.readers("d") and not graph.readers("")


def test_ancestors_and_descendants_hold_their_start(graph):
    assert graph.ancestors(["f"]) == {"f", "b", "k", "a", "x"}
    assert graph.descendants(["c"]) == {"c", "e", "d"}
    assert graph.varies("f") and not graph.varies("k")


def test_a_region_ends_at_the_nearest_entries(graph):
    assert [node.name for node in graph.region({"b", "c"}, "d")] == ["n2", "n3", "n4", "n5"]
    assert [node.name for node in graph.region({"a"}, "e")] == ["n1", "n3"]
    assert [node.name for node in graph.region({"e"}, "e")] == ["n0", "n1", "n3"]
    assert graph.region(set(), "x") == ()


def test_a_cycle_ends(graph):
    loop = replace(graph, nodes=(_node(0, "add", ["x", "b"], ["a"]), _node(1, "identity", ["a"], ["b"])))
    assert loop.ancestors(["b"]) == loop.descendants(["x"]) == {"x", "a", "b"}
    assert [node.index for node in loop.region(set(), "b")] == [0, 1]


def test_the_record_stays_frozen_and_equal(graph):
    twin = replace(graph)
    assert graph.producer("d") is not None
    assert twin == graph and "_index" not in repr(graph)
    with pytest.raises(FrozenInstanceError):
        graph.nodes = ()
    other = replace(graph, nodes=graph.nodes[:1])
    assert other.producer("d") is None
    assert copy.copy(graph).producer("d").name == "n5"


def test_it_needs_no_numpy():
    program = (
        "import sys; from aligner.records.graph import Graph; g = Graph('t', (), {}, {}, (), ());"
        "g.producer('x'), g.readers('x'), g.region((), 'x'); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
