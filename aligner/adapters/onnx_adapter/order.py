"""Node order: files are meant to be sorted, some converters append nodes at the end, and runtimes accept that."""

from __future__ import annotations

import heapq
from typing import Any

from aligner.adapters.onnx_adapter.names import reads, subgraphs
from aligner.errors import ModelFormatError, listing


def sort_nodes(graph: Any) -> bool:
    """Sort a graph and its subgraphs in place where a node stands before what it reads; else change nothing.

    Returns whether the top level changed. Raises ModelFormatError for a cycle.
    """
    nodes = list(graph.node)
    for node in nodes:
        for _, inner in subgraphs(node):
            sort_nodes(inner)
    order = _order(nodes)
    if order == list(range(len(nodes))):
        return False
    copies = []
    for position in order:
        copy = type(nodes[position])()
        copy.CopyFrom(nodes[position])
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
    return True


def _order(nodes: list[Any]) -> list[int]:
    """Positions in an order in which every node follows its producers; as near to the file's as possible."""
    producer = {name: position for position, node in enumerate(nodes) for name in node.output if name}
    waiting: list[int] = []
    consumers: dict[int, list[int]] = {}
    for position, node in enumerate(nodes):
        before = {producer[name] for name in reads(node) if name in producer}
        waiting.append(len(before))
        for other in before:
            consumers.setdefault(other, []).append(position)
    ready = [position for position, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        position = heapq.heappop(ready)
        order.append(position)
        for consumer in consumers.get(position, ()):
            waiting[consumer] -= 1
            if not waiting[consumer]:
                heapq.heappush(ready, consumer)
    if len(order) < len(nodes):
        left = sorted(set(range(len(nodes))) - set(order))
        names = listing(nodes[position].name or f"{nodes[position].op_type}_{position}" for position in left)
        raise ModelFormatError(
            "the graph has a cycle", found=f"nodes that wait for each other: {names}", hint="export the model again"
        )
    return order
