"""A model's graph on a terminal, for ``align inspect``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

from rich.console import Console, RenderableType
from rich.text import Text

from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, InputSpec, Node, Signature, Value
from aligner.report.columns import Column, table
from aligner.report.numbers import number, plural, shape
from aligner.report.page import Page
from aligner.report.words import runs_on


def print_graph(graph: Graph, signature: Signature, console: Console, *, path: str = "", runtime: str = "") -> None:
    """Print the model's inputs and outputs, then every node in execution order; weights are counted, never loaded."""
    page = Page.of(console)
    page.print(_title(page, graph, path, runtime))
    facts: list[tuple[str, RenderableType]] = [
        *_labelled("inputs", (page.text(_input(spec)) for spec in signature.inputs)),
        *_labelled("outputs", (page.text(_value(_find(graph, key))) for key in graph.outputs)),
        ("weights", page.text(_weights(graph))),
        *_labelled("notes", (page.prose(note) for note in graph.notes)),
    ]
    page.print(page.facts(facts))
    if graph.nodes:
        page.heading("nodes", "in execution order")
        rows = [NodeRow(graph, node) for node in graph.nodes]
        shown = table(page, _columns(graph), rows)
        page.print(shown)
        titles = {column.title for column in shown.columns}
        hidden = [c.title for c in _columns(graph) if c.title not in titles and any(map(c.cell, rows))]
        if hidden:
            page.print(page.text(f"no room for {', '.join(hidden)}: a wider terminal, or --json FILE", "dim"))


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node and the graph that knows its values."""

    graph: Graph
    node: Node

    def outputs(self) -> list[Value]:
        """The values it computes."""
        return [_find(self.graph, key) for key in self.node.outputs if key]


def _title(page: Page, graph: Graph, path: str, runtime: str) -> Text:
    line = page.text(path or graph.framework, "bold")
    known = runs_on(graph.framework, runtime)
    return line.append_text(page.text(f" — {known}, {plural(len(graph.nodes), 'node')}, channels {graph.channels}"))


def _labelled(title: str, facts: Iterable[Text]) -> list[tuple[str, RenderableType]]:
    return [(title if place == 0 else "", fact) for place, fact in enumerate(facts)]


def _find(graph: Graph, key: str) -> Value:
    return graph.values.get(key) or Value(id=key, name=key)


def _input(spec: InputSpec) -> str:
    words = [f"{spec.name}  {shape(spec.shape)} {spec.dtype or '?'}"]
    if spec.quantization is not None:
        scale, zero = spec.quantization.scale, spec.quantization.zero_point
        if len(scale) == 1:
            words.append(f"scale {number(scale[0], 6)}, zero point {zero[0] if zero else 0}")
        else:
            words.append(f"{len(scale)} scales")
    if not spec.required:
        words.append("optional")
    return ", ".join(words)


def _value(value: Value) -> str:
    tensor = "" if value.index is None else f" #{value.index}"
    return f"{value.name}{tensor}  {shape(value.shape)} {value.dtype or '?'}"


def _weights(graph: Graph) -> str:
    elements = sum(prod(weight.shape) for weight in graph.weights.values())
    return f"{len(graph.weights):,}, {plural(elements, 'element')} in all"


def _columns(graph: Graph) -> list[Column[NodeRow]]:
    indexed = any(value.index is not None for value in graph.values.values())
    return [column for column in _COLUMNS if indexed or column.title != "tensors"]


def _of_node(field: str) -> Callable[[NodeRow], str]:
    return lambda row: str(getattr(row.node, field) or "")


def _index(row: NodeRow) -> str:
    return str(row.node.index)


def _name(row: NodeRow) -> str:
    return row.node.name or next((value.name for value in row.outputs()), "")


def _output(row: NodeRow) -> str:
    """The first output's name, where the node's does not already tell it."""
    name = next((value.name for value in row.outputs()), "")
    return "" if name.startswith(_name(row)) else name


def _tensors(row: NodeRow) -> str:
    """Tensor indices: "0,3,4 → 17"."""
    return f"{_indices(row.graph, row.node.inputs)} → {_indices(row.graph, row.node.outputs)}"


def _indices(graph: Graph, keys: Iterable[str]) -> str:
    found = (graph.values.get(key) or graph.weights.get(key) for key in keys if key)
    return ",".join("?" if item is None or item.index is None else str(item.index) for item in found)


def _shapes(row: NodeRow) -> str:
    values = row.outputs()
    more = f" +{len(values) - 1}" if len(values) > 1 else ""
    return shape(values[0].shape) + more if values else ""


def _dtype(row: NodeRow) -> str:
    return ", ".join(dict.fromkeys(value.dtype or "?" for value in row.outputs()))


def _attributes(row: NodeRow) -> str:
    return " ".join(f"{name}={_attribute(value)}" for name, value in row.node.attributes.items())


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, (tuple, list)):
        return "(" + ",".join(_attribute(item) for item in value) + ")"
    return str(value)


_COLUMNS: list[Column[NodeRow]] = [
    Column("#", _index, right=True),
    Column("name", _name, flexible=True, least=20),
    Column("op", _of_node("op"), most=24),
    Column("output", _output, rank=7, flexible=True, least=18),
    Column("kind", _of_node("kind"), rank=5, most=16),
    Column("tensors", _tensors, rank=1, most=20),
    Column("shape", _shapes, most=20),
    Column("dtype", _dtype, rank=3, most=16),
    Column("scope", _of_node("scope"), rank=4, flexible=True, least=18),
    Column("source", _of_node("source"), rank=2, flexible=True, least=14),
    Column("attributes", _attributes, rank=8, flexible=True, wrap=True, least=48),
]
