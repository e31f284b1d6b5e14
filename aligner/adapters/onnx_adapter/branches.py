"""Put the branch that an If takes in the If's place, so that what happens in it can be observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from aligner.adapters.onnx_adapter.names import defined_names, fresh, rename_graph, subgraphs
from aligner.errors import ModelError, listing
from aligner.records.dataclass import dataclass

_ROUNDS = 64
"""Branches within each other that are taken out: a limit of work."""
Decide = Callable[[Any, list[str]], Mapping[str, bool]]
"""(model, names of conditions) → those that could be computed."""


@dataclass(frozen=True, slots=True)
class Inlined:
    """``joins``: output of a replaced If → its name, branch; ``scopes``: first output of a moved node → its branch."""

    model: Any
    joins: dict[str, tuple[str, str]] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_branching(model: Any) -> bool:
    """Whether there is an If at the top level."""
    return any(_is_if(node) for node in model.graph.node)


def inline_taken_branches(model: Any, decide: Decide) -> Inlined:
    """Replace every If whose condition can be computed, then those that come to light; the model is not changed."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    result = Inlined(copy)
    taken: list[str] = []
    trouble: list[str] = []
    for _ in range(_ROUNDS):
        conditions = [node.input[0] for node in copy.graph.node if _is_if(node)]
        try:
            known = decide(copy, list(dict.fromkeys(conditions))) if conditions else {}
        except ModelError as error:
            trouble.append(f"the conditions of If nodes could not be computed: {error.found or error.what}")
            break
        if not any(name in known for name in conditions):
            break
        _round(result, known, taken)
    notes = list(trouble)
    if taken:
        notes.insert(
            0,
            f"{len(taken)} If nodes are replaced by the branch that these inputs take: {listing(taken)}"
            if len(taken) > 1
            else f"one If node is replaced by the branch that these inputs take: {taken[0]}",
        )
    return Inlined(copy, result.joins, result.scopes, tuple(notes))


def _is_if(node: Any) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx") and len(node.input) == 1


def _round(result: Inlined, known: Mapping[str, bool], taken: list[str]) -> None:
    graph = result.model.graph
    names = Counter(defined_names(graph))
    nodes = list(graph.node)
    titles = {node.name for node in nodes if node.name}
    spliced: list[Any] = []
    for position, node in enumerate(nodes):
        if not _is_if(node) or node.input[0] not in known:
            spliced.append(node)
            continue
        owner = node.name or f"If_{position}"
        branch_name = "then_branch" if known[node.input[0]] else "else_branch"
        branch = next((graph for name, graph in subgraphs(node) if name == branch_name), None)
        if branch is None:
            spliced.append(node)
            continue
        moved = _splice(result, node, owner, branch_name, branch, names)
        _retitle(moved, owner, titles)
        spliced.extend(moved)
        taken.append(f"{owner} ({branch_name.removesuffix('_branch')})")
    copies = [_copied(node) for node in spliced]
    del graph.node[:]
    graph.node.extend(copies)


def _splice(result: Inlined, node: Any, owner: str, branch_name: str, branch: Any, names: Counter[str]) -> list[Any]:
    """The branch's nodes, renamed where a name is taken elsewhere, then an Identity for each output of the If."""
    from onnx import helper

    for _, inner in subgraphs(node):
        names.subtract(defined_names(inner))
    own = set(defined_names(branch))
    used = {name for name, count in names.items() if count > 0}
    clashes = {name: fresh(f"{owner}/{name}", used | own) for name in own if name in used}
    rename_graph(branch, clashes)
    names.update(defined_names(branch))
    graph = result.model.graph
    graph.initializer.extend(branch.initializer)
    graph.sparse_initializer.extend(branch.sparse_initializer)
    graph.value_info.extend(branch.value_info)
    for inner_node in branch.node:
        if any(inner_node.output):
            result.scopes[next(name for name in inner_node.output if name)] = f"{owner}.{branch_name}"
    joins = []
    for outer, inner_output in zip(node.output, branch.output, strict=True):
        if outer:
            joins.append(helper.make_node("Identity", [inner_output.name], [outer], name=f"{owner}/{outer}"))
            result.joins[outer] = (owner, branch_name)
    return [*branch.node, *joins]


def _retitle(nodes: Sequence[Any], owner: str, titles: set[str]) -> None:
    """Give another name to nodes called like one outside their branch: a graph may use each name once."""
    for node in nodes:
        if node.name in titles:
            node.name = fresh(f"{owner}/{node.name}", titles)
        if node.name:
            titles.add(node.name)


def _copied(node: Any) -> Any:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
