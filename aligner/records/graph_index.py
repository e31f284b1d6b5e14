"""Who makes and who reads each value of a graph, worked out once from its nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aligner.records.graph import Node


class GraphIndex:
    """The dataflow of a sequence of nodes.

    A value that several nodes write (the branches of an if) counts as made by the first of them.
    """

    def __init__(self, nodes: Sequence[Node], inputs: Sequence[str]) -> None:
        self.nodes = nodes
        self._inputs = inputs
        self._producers: dict[str, Node] = {}
        self._readers: dict[str, list[Node]] = {}
        self._varying: frozenset[str] | None = None
        for node in nodes:
            for value in node.outputs:
                if value:
                    self._producers.setdefault(value, node)
            for value in dict.fromkeys(node.inputs):
                if value:
                    self._readers.setdefault(value, []).append(node)

    @property
    def producers(self) -> Mapping[str, Node]:
        """Value → the node that makes it."""
        return self._producers

    def readers(self, value: str) -> Sequence[Node]:
        """The nodes that read a value or weight, each once, in execution order."""
        return self._readers.get(value, ())

    @property
    def varying(self) -> frozenset[str]:
        """The graph's inputs and all that is computed from them."""
        if self._varying is None:
            self._varying = self.descendants(self._inputs)
        return self._varying

    def ancestors(self, values: Iterable[str]) -> frozenset[str]:
        """The values and weights that these are computed from, themselves included."""
        found, stack = set[str](), list(values)
        while stack:
            value = stack.pop()
            if value and value not in found:
                found.add(value)
                node = self._producers.get(value)
                stack += node.inputs if node is not None else ()
        return frozenset(found)

    def descendants(self, values: Iterable[str]) -> frozenset[str]:
        """The values that are computed from these, themselves included."""
        found, stack = set[str](), list(values)
        while stack:
            value = stack.pop()
            if value and value not in found:
                found.add(value)
                for node in self.readers(value):
                    stack += node.outputs
        return frozenset(found)

    def region(self, entries: Collection[str], exit_: str) -> tuple[Node, ...]:
        """The nodes that compute one value from the nearest of the entries, in execution order.

        What reaches the exit past the entries comes from the graph's inputs and constants; its nodes are included.
        """
        found: dict[int, Node] = {}
        stack = [exit_]
        while stack:
            value = stack.pop()
            node = self._producers.get(value)
            if node is None or (value in entries and value != exit_) or node.index in found:
                continue
            found[node.index] = node
            stack += node.inputs
        return tuple(found[index] for index in sorted(found))
