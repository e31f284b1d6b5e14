"""The graph describes what runs."""

from __future__ import annotations

from aligner.adapters.base import Session
from aligner.errors import listing
from aligner.operations.kinds import NESTED, TRAITS
from aligner.records.graph import Graph
from aligner.testing.subject import Subject


class GraphConformance(Subject):
    """Identity, order and completeness of nodes, values and weights."""

    def graph(self, session: Session) -> Graph:
        """Return the graph for the suite's feeds."""
        return session.graph(self.make_feeds())

    def test_session_describes_itself(self) -> None:
        """Reports name the runtime; inputs can be asked for by name."""
        with self.session() as session:
            assert session.runtime.strip(), "runtime is empty"
            assert session.framework.strip(), "framework is empty"
            declared = {spec.name for spec in session.signature.inputs}
            required = {spec.name for spec in session.signature.inputs if spec.required}
            feeds = set(self.make_feeds())
            assert feeds <= declared, f"fed, but not in the signature: {listing(sorted(feeds - declared))}"
            assert required <= feeds, f"required by the signature, but not fed: {listing(sorted(required - feeds))}"

    def test_ids_are_keys(self) -> None:
        """A value is found under its own id; every id that a node names exists."""
        with self.session() as session:
            graph = self.graph(session)
        wrong = [name for name, value in graph.values.items() if value.id != name]
        assert not wrong, f"values stored under another id: {listing(wrong)}"
        known = {"", *graph.values, *graph.weights}
        for node in graph.nodes:
            unknown = [name for name in (*node.inputs, *node.outputs) if name not in known]
            assert not unknown, f"node {node.name} names ids that are neither values nor weights: {listing(unknown)}"
            strangers = [name for name in node.weights if name not in node.inputs or name not in graph.weights]
            assert not strangers, f"weights of {node.name} are not among its inputs and the graph's: {strangers}"
            assert node.kind in TRAITS, f"{node.kind!r} of node {node.name} is no kind"
        ends = [name for name in (*graph.inputs, *graph.outputs) if name not in known - {""}]
        assert not ends, f"inputs or outputs of the graph that do not exist: {listing(ends)}"

    def test_nodes_stand_in_topological_order(self) -> None:
        """A node's inputs are graph inputs, weights, outputs of earlier nodes, or parameters of a subgraph."""
        with self.session() as session:
            graph = self.graph(session)
        assert [node.index for node in graph.nodes] == sorted({node.index for node in graph.nodes}), (
            "node indices do not ascend"
        )
        ready = {"", *graph.inputs, *graph.weights}
        if any(node.kind in NESTED for node in graph.nodes):  # no node computes what a loop hands its body
            ready |= set(graph.values) - {name for node in graph.nodes for name in node.outputs}
        for node in graph.nodes:
            early = [name for name in node.inputs if name not in ready]
            assert not early, f"node {node.index} {node.name} reads {listing(early)} before it is computed"
            ready.update(node.outputs)

    def test_graph_is_the_same_at_each_call(self) -> None:
        """Ids are stable within a session and between sessions of the same model."""
        with self.session() as session, self.session(fresh=True) as other:
            one, again, fresh = self.graph(session), self.graph(session), self.graph(other)
        for graph in (again, fresh):
            assert list(one.values) == list(graph.values), "the values' ids changed"
            assert [node.outputs for node in one.nodes] == [node.outputs for node in graph.nodes], "the nodes changed"

    def test_declared_values_are_captured(self) -> None:
        """Every captured id is declared; every declared one is captured, except constants and untaken branches."""
        with self.session() as session:
            graph = self.graph(session)
            captured = [tensor.value for tensor in self.capture(session)]
        undeclared = set(captured) - set(graph.values)
        assert not undeclared, f"captured, but not in graph.values: {listing(sorted(undeclared))}"
        assert set(graph.outputs) <= set(captured) | set(graph.weights), "an output of the graph was not captured"
        constant = {name for node in graph.nodes if node.kind == "constant" for name in node.outputs}
        missing = set(graph.values) - set(captured) - constant - set(graph.weights)
        branches = any(node.kind in NESTED for node in graph.nodes)
        assert branches or not missing, f"in graph.values, but not captured: {listing(sorted(missing))}"

    def test_captures_look_as_declared(self) -> None:
        """Shapes and dtypes agree with the graph's, where the graph says."""
        with self.session() as session:
            graph = self.graph(session)
            captured = self.capture(session)
        for tensor in captured:
            value, shape = graph.values[tensor.value], tensor.array.shape
            if value.shape is not None:
                fits = len(shape) == len(value.shape) and all(
                    wanted is None or wanted == size for wanted, size in zip(value.shape, shape, strict=True)
                )
                assert fits, f"{tensor.value} is declared {value.shape} and captured {shape}"
            if value.dtype is not None:
                assert value.dtype == tensor.dtype, f"{tensor.value} is {value.dtype}, captured {tensor.dtype}"

    def test_weights_load(self) -> None:
        """Each weight loads read-only, in the declared shape."""
        with self.session() as session:
            for name, weight in self.graph(session).weights.items():
                array = weight.load()
                assert array.shape == weight.shape, f"weight {name} is declared {weight.shape}, loaded {array.shape}"
                assert not array.flags.writeable, f"weight {name} is writeable"
