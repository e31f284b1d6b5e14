"""What forward returns, taken apart into named tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from aligner.adapters.torch_quantization import dtype_word
from aligner.adapters.torchscript_adapter.graph import ScriptGraph
from aligner.adapters.torchscript_adapter.operands import Items, Ref, open_ends
from aligner.records.graph import Graph, Node, Value


def named_outputs(script: ScriptGraph, result: Any) -> list[tuple[str, Any]]:
    """(id, tensor) of each tensor returned, in order.

    The id is the value's where it is known without running, else the place in the structure: "outputs.0",
    "outputs.boxes".
    """
    return [
        (
            ref if isinstance(ref, str) and ref in script.graph.values else ".".join(("outputs", *(path or ("0",)))),
            tensor,
        )
        for ref, path, tensor in _flattened(script.result, result, ())
    ]


def _flattened(ref: Ref, result: Any, path: tuple[str, ...]) -> Iterator[tuple[Ref, tuple[str, ...], Any]]:
    import torch

    if isinstance(result, torch.Tensor):
        yield ref, path, result
        return
    if isinstance(result, dict):
        keys, items = [str(key) for key in result], list(result.values())
    elif isinstance(result, tuple | list):
        keys, items = [str(index) for index in range(len(result))], list(result)
    else:
        return
    known = isinstance(ref, Items) and ref.exact and len(ref.elements) == len(items)
    refs: Sequence[Ref] = ref.elements if isinstance(ref, Items) and known else [None] * len(items)
    for inner, key, item in zip(refs, keys, items, strict=True):
        yield from _flattened(inner, item, (*path, key))


def with_outputs(graph: Graph, result: Ref, outputs: Sequence[tuple[str, Any]]) -> Graph:
    """The graph with the outputs of a run: those that only the run could tell become a last node's."""
    new = {
        name: Value(name, name, tuple(tensor.shape), dtype_word(tensor))
        for name, tensor in outputs
        if name not in graph.values
    }
    names = tuple(name for name, _ in outputs)
    if not new:
        return replace(graph, outputs=names)
    inputs = tuple(dict.fromkeys(name for name in open_ends(result) if name in graph.values or name in graph.weights))
    returned = Node(len(graph.nodes), "outputs", "prim::Return", "other", inputs, tuple(new))
    return replace(graph, nodes=(*graph.nodes, returned), values={**graph.values, **new}, outputs=names)
