"""A part of an exported program as a program of its own, with a script that runs it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.rewriting import Extracted
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_FILE = "part.pt2"


def extract(path: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
    """The nodes between the inputs and one value, with the weights that they read; see ``Extracts``."""
    import torch

    from aligner.adapters.export_adapter.program import load, unlifted

    module = unlifted(load(path), guarded=False)
    nodes = {node.name: node for node in module.graph.nodes}
    if output not in nodes or any(name not in nodes for name in inputs):
        raise Unsupported("a value inside a branch")
    part = _part(module, nodes, inputs, output)
    fed = tuple(torch.from_numpy(array.copy()) for array in inputs.values())
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(part, fed), folder / _FILE)
    except Exception as error:  # torch raises what its passes raise
        raise Unsupported(f"the part cannot be exported: {type(error).__name__}") from error
    return Extracted(_FILE, _SCRIPT.format(file=_FILE))


def _part(module: Any, nodes: Mapping[str, Any], inputs: Mapping[str, Array], output: str) -> Any:
    from torch.fx import Graph, GraphModule

    made: dict[Any, Any] = {}
    graph = Graph()
    for place, name in enumerate(inputs):
        made[nodes[name]] = graph.placeholder(f"input_{place}")
    needed, waiting = set[Any](), [nodes[output]]
    while waiting:
        node = waiting.pop()
        if node in made or node in needed:
            continue
        if node.op not in ("call_function", "get_attr"):
            raise Unsupported(f"{node.name} is read beside the region's inputs")
        needed.add(node)
        waiting += node.all_input_nodes
    for node in module.graph.nodes:
        if node in needed:
            made[node] = graph.node_copy(node, made.__getitem__)
    graph.output(made[nodes[output]])
    return GraphModule(module, graph)


_SCRIPT = """import torch

part = torch.export.load("{file}").module()
with torch.no_grad():
    got = part(*map(torch.from_numpy, inputs)).double().numpy()
runtime = "torch " + torch.__version__ + " (torch.export)"
"""
