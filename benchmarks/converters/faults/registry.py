"""Faults by name; each is planted in one node and says what it made wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.converters.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Planted:
    """``nodes``: what to blame in the faulty graph; ``tensors``: what it makes, by its name without the fault.

    A node that was taken out has tensors alone; one that was put in has a name alone.
    """

    nodes: tuple[str, ...]
    tensors: tuple[str, ...]
    detail: str


Fault = Callable[[Graph, np.random.Generator], Planted | None]
FAULTS: dict[str, Fault] = {}
RARER: dict[str, Fault] = {}
"""Drawn only where they are asked for."""


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def rarer(function: Fault) -> Fault:
    RARER[function.__name__] = function
    return function


def pick(
    graph: Graph, rng: np.random.Generator, ops: str | Iterable[str], also: Callable[[Node], object] = bool
) -> Node | None:
    wanted = set(ops.split()) if isinstance(ops, str) else set(ops)
    found = [node for node in graph.ordered() if node.op in wanted and also(node)]
    return found[int(rng.integers(len(found)))] if found else None


def at(node: Node, detail: str) -> Planted:
    """The fault is inside one node that stays where it was."""
    return Planted((node.name,), tuple(node.outputs), f"{node.op} {node.name}: {detail}")


def weighted(graph: Graph, node: Node) -> bool:
    """A node whose second input is a stored weight of some size."""
    weight = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return weight is not None and weight.dtype == np.float32 and weight.ndim >= 2 and weight.size >= 12
