"""From a guilty module to the places of an exported file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.architectures import Architecture, Feeds
from benchmarks.faults.built import Target
from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting.modules import Changed, ModuleFault, Variant, leaves_in_order, make
from benchmarks.faults.regions import FUSED_ATTENTION, module_path, neighbours, region
from benchmarks.faults.truth import Truth


def module_classes(architecture: Architecture, seed: int) -> dict[str, str]:
    """Path → class of every module."""
    return {path: _class(part) for path, part in architecture.module(seed).named_modules() if path}


def _class(part: Any) -> str:
    fused = getattr(getattr(part, "config", None), "_attn_implementation", "") == "sdpa"
    return FUSED_ATTENTION if fused and type(part).__name__.endswith("Attention") else type(part).__name__


def module_truth(
    fault: ModuleFault, architecture: Architecture, seed: int, target: Target, found: Changed, feeds: Feeds
) -> Truth:
    """The truth about a changed module in the form that the candidate has."""
    module = make(Variant(architecture.name, seed)).module
    classes = module_classes(architecture, seed)
    first = _first_guilty(found, classes)
    order = [path for path, _ in leaves_in_order(module, architecture, seed)]
    near = [*first, *(path for each in first if each in order for path in _beside(order, each))]
    exact: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    if target.file is not None and target.file.endswith(".onnx"):
        model = OnnxModel.read(Path(target.file), feeds)
        exact = region(model, _shown(model, _guilty_nodes(model, found, first), found), classes, extend=True)
        close = neighbours(model, exact)
    scopes = [f"{path}:{found.kind}" if found.kind else path for path in first]
    if found.missing:  # what is not there shows at the next operation
        scopes += order[order.index(first[0]) + 1 :][:1]
    return Truth(
        blame="node",
        exact=exact,
        near=close,
        scopes=tuple(scopes),
        near_scopes=tuple(dict.fromkeys(near)),
        causes=fault.causes,
        random=found.kind == "dropout",
        planted=f"{fault.name} at {first[0]}",
    )


def _first_guilty(found: Changed, classes: dict[str, str]) -> list[str]:
    """The guilty modules that no other stands before: embeddings run side by side."""
    if not found.everywhere:
        return list(found.guilty)
    first = list(_leading(found.guilty, classes))
    return first or list(found.guilty[:1])


def _leading(paths: tuple[str, ...], classes: dict[str, str]) -> Iterator[str]:
    for path in paths:
        yield path
        if classes.get(path) != "Embedding":
            return


def _beside(order: list[str], path: str) -> list[str]:
    place = order.index(path)
    return order[max(0, place - 1) : place + 2]


def _shown(model: OnnxModel, nodes: list[Node], found: Changed) -> list[Node]:
    """The guilty nodes, and for an operation that is missing, those that should have read it."""
    if not found.missing or not nodes:
        return nodes
    return [*nodes, *model.readers(nodes[-1].output[0])]


def _guilty_nodes(model: OnnxModel, found: Changed, first: list[str]) -> list[Node]:
    """The guilty modules' nodes in an exported file; for faults everywhere, those without a guilty ancestor."""
    wanted = {"mul": {"Mul"}, "dropout": {"Dropout"}}.get(found.kind)
    if not found.everywhere:
        nodes = [node for node in model.nodes if module_path(node) in first and model.computed(node.output[0])]
        return [node for node in nodes if node.op_type in wanted] if wanted else nodes
    guilty = set(found.guilty)
    tainted: set[str] = set()
    roots = []
    for node in model.nodes:
        upstream = any(name in tainted for name in node.input)
        mine = module_path(node) in guilty and any(model.constant(name) is not None for name in node.input)
        if mine and not upstream:
            roots.append(node)
        if mine or upstream:
            tainted.update(node.output)
    return roots
