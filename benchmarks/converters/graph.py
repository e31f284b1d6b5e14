"""An ONNX graph as plain lists, made for editing: nodes have no fixed order, values are known from one run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray
_BFLOAT16 = 16
"""onnx.TensorProto.BFLOAT16; numpy has no word for it, so that such values are not shown."""


@dataclass(slots=True, eq=False)
class Node:
    """One operation; ``name`` is unique in its graph."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""

    @property
    def output(self) -> str:
        return self.outputs[0]


@dataclass(slots=True, eq=False)
class Graph:
    """``feeds`` are the inputs with the values that the graph is run on; ``blamed`` names nodes that hold the fault."""

    feeds: dict[str, Array]
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    opset: int = 17
    blamed: set[str] = field(default_factory=set)
    origins: dict[str, str] = field(default_factory=dict)
    """Tensors that were there before any rewrite, by their name now: what they were called then."""
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _values: dict[str, Array] | None = None

    # --- reading

    def producer(self, name: str) -> Node | None:
        return next((node for node in self.nodes if name in node.outputs), None) if name else None

    def readers(self, name: str) -> list[Node]:
        return [node for node in self.nodes if name in node.inputs]

    def sole_reader(self, name: str) -> Node | None:
        """The one node that reads a value nobody else sees."""
        found = self.readers(name)
        alone = len(found) == 1 and found[0].inputs.count(name) == 1 and name not in self.outputs
        return found[0] if alone else None

    def constant(self, name: str) -> Array | None:
        return self.constants.get(name)

    def computed(self, name: str) -> bool:
        return bool(name) and name not in self.constants and name in self.values

    def shape(self, name: str) -> tuple[int, ...]:
        found = self.constants.get(name)
        return tuple((found if found is not None else self.values[name]).shape)

    def rank(self, name: str) -> int:
        return len(self.shape(name))

    def floating(self, name: str) -> bool:
        found = self.constants.get(name)
        return (found if found is not None else self.values[name]).dtype == np.float32

    @property
    def values(self) -> dict[str, Array]:
        """Every computed value of one run on the feeds."""
        if self._values is None:
            self._values = run(self, everything=True)
        return self._values

    # --- editing

    def fresh(self, stem: str) -> str:
        taken = self.constants.keys() | self.feeds.keys() | {out for node in self.nodes for out in node.outputs}
        taken |= {node.name for node in self.nodes}
        return next(name for name in (f"{stem}_{number}" for number in self._count) if name not in taken)

    def keep(self, array: Any, stem: str = "const") -> str:
        """A new constant, float64 made float32 and integers int64."""
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype == np.int32:
            array = array.astype(np.int64)
        name = self.fresh(stem)
        self.constants[name] = np.array(array, order="C")
        return name

    def add(
        self, op: str, *inputs: str, into: Sequence[str] | str | None = None, count: int = 1, **attributes: Any
    ) -> str:
        """A new node; the name of its first output. ``into`` names the outputs, ``domain`` is an attribute here."""
        domain = attributes.pop("domain", "")
        if into is None:
            outputs = [self.fresh(op.lower()) for _ in range(count)]
        else:
            outputs = [into] if isinstance(into, str) else list(into)
        self.nodes.append(Node(op, list(inputs), outputs, attributes, self.fresh(f"{op}"), domain))
        self._values = None
        return outputs[0]

    def add_all(self, op: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        self.add(op, *inputs, count=count, **attributes)
        return list(self.nodes[-1].outputs)

    def remove(self, *nodes: Node) -> None:
        self.nodes = [node for node in self.nodes if node not in nodes]
        self._values = None

    def redirect(self, old: str, new: str, *, only: Iterable[Node] | None = None) -> None:
        """Whoever read ``old`` reads ``new``; a graph output keeps its name, so ``old`` is then made from ``new``."""
        for node in self.nodes if only is None else only:
            node.inputs = [new if name == old else name for name in node.inputs]
        if only is None and old in self.outputs:
            self._take_output(old, new)
        self._values = None

    def _take_output(self, old: str, new: str) -> None:
        maker, former = self.producer(new), self.producer(old)
        if former is not None:
            spare = self.fresh(old)
            former.outputs = [spare if name == old else name for name in former.outputs]
            for node in self.nodes:
                if node is not maker:
                    node.inputs = [spare if name == old else name for name in node.inputs]
        if maker is None or new in self.outputs or new in self.feeds:
            self.add("Identity", new, into=old)
            return
        maker.outputs = [old if name == new else name for name in maker.outputs]
        for node in self.nodes:
            node.inputs = [old if name == new else name for name in node.inputs]

    def changed(self) -> None:
        self._values = None

    def prune(self) -> None:
        """Drop nodes and constants that nothing needs."""
        needed = set(self.outputs)
        for node in reversed(self.ordered()):
            if needed & set(node.outputs):
                needed.update(node.inputs)
        self.nodes = [node for node in self.nodes if needed & set(node.outputs)]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}

    def copy(self) -> Graph:
        nodes = [Node(n.op, [*n.inputs], [*n.outputs], {**n.attributes}, n.name, n.domain) for n in self.nodes]
        made = Graph(dict(self.feeds), [*self.outputs], nodes, dict(self.constants), self.opset, {*self.blamed})
        made.origins = dict(self.origins)
        made._count = itertools.count(next(self._count))
        made._values = self._values
        return made

    def ordered(self, choose: Callable[[int], int] | None = None) -> list[Node]:
        """The nodes in an order in which they can run; ``choose`` picks one of those that are ready."""
        made = {*self.constants, *self.feeds, ""}
        waiting, done = list(self.nodes), []
        while waiting:
            ready = [node for node in waiting if made.issuperset(node.inputs)]
            if not ready:
                raise ValueError(f"nodes that cannot run: {[(n.name, n.inputs) for n in waiting[:3]]}")
            for node in ready if choose is None else [ready[choose(len(ready))]]:
                done.append(node)
                waiting.remove(node)
                made.update(node.outputs)
        return done


def to_proto(graph: Graph, outputs: Sequence[str] | None = None) -> Any:
    """The model as ONNX writes it; ``outputs`` of unknown type are added to the graph's own."""
    import onnx
    from onnx import helper, numpy_helper

    def value(name: str, array: Array) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    nodes = [
        helper.make_node(n.op, n.inputs, n.outputs, name=n.name, domain=n.domain or None, **n.attributes)
        for n in graph.ordered()
    ]
    inputs = [value(name, array) for name, array in graph.feeds.items()]
    known = graph._values or {}
    declared = [value(n, known[n]) if n in known else onnx.ValueInfoProto(name=n) for n in graph.outputs]
    declared += [onnx.ValueInfoProto(name=name) for name in outputs or () if name not in graph.outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    made = helper.make_graph(nodes, "main", inputs, declared, stored)
    domains = {node.domain for node in graph.nodes} - {""}
    imports = [helper.make_opsetid("", graph.opset), *(helper.make_opsetid(domain, 1) for domain in sorted(domains))]
    return helper.make_model(made, opset_imports=imports, ir_version=9)


def from_proto(proto: Any, feeds: Mapping[str, Array]) -> Graph:
    """A model that some tool wrote; Constant nodes become constants, nodes without a name get one."""
    from onnx import helper, numpy_helper

    opset = next(each.version for each in proto.opset_import if each.domain in {"", "ai.onnx"})
    graph = Graph(dict(feeds), [each.name for each in proto.graph.output], opset=opset)
    graph.constants = {each.name: np.array(numpy_helper.to_array(each)) for each in proto.graph.initializer}
    for node in proto.graph.node:
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        attributes = {name: got.decode() if isinstance(got, bytes) else got for name, got in attributes.items()}
        if node.op_type == "Constant" and "value" in attributes:
            graph.constants[node.output[0]] = np.array(numpy_helper.to_array(attributes["value"]))
            continue
        graph.nodes.append(Node(node.op_type, [*node.input], [*node.output], attributes, node.name, node.domain))
    taken: set[str] = set()
    for node in graph.nodes:
        if not node.name or node.name in taken:
            node.name = graph.fresh(node.op)
        taken.add(node.name)
    return graph


def run(graph: Graph, *, everything: bool = False) -> dict[str, Array]:
    """The outputs, or every value, by onnxruntime with nothing optimised."""
    shown = [node for node in graph.nodes if not (node.op == "Cast" and node.attributes["to"] == _BFLOAT16)]
    extra = [name for node in shown for name in node.outputs if name] if everything else []
    names = [*graph.outputs, *(name for name in extra if name not in graph.outputs)]
    got = run_proto(to_proto(graph, names).SerializeToString(), graph.feeds, tuple(names))
    return dict(graph.feeds) | got if everything else got


def run_proto(content: bytes, feeds: Mapping[str, Array], names: Sequence[str] | None = None) -> dict[str, Array]:
    session = _session(content)
    used = {each.name for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()] if names is None else list(names)
    got = session.run(names, {name: array for name, array in feeds.items() if name in used})
    return dict(zip(names, got, strict=True))


@lru_cache(maxsize=4)
def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
