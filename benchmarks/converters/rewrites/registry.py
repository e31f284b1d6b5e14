"""Rewrites by name; each changes one place, drawn at random, and says whether it found one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.converters.graph import Graph, Node

Rewrite = Callable[[Graph, np.random.Generator], bool]
REWRITES: dict[str, Rewrite] = {}
RARER: dict[str, Rewrite] = {}
"""Drawn only where they are asked for, so that the cases of a seed stay what they were."""


def rewrite(function: Rewrite) -> Rewrite:
    REWRITES[function.__name__] = function
    return function


def rarer(function: Rewrite) -> Rewrite:
    RARER[function.__name__] = function
    return function


def pick(
    graph: Graph, rng: np.random.Generator, ops: str | Iterable[str], also: Callable[[Node], object] = bool
) -> Node | None:
    """One node of the given operations that suits."""
    wanted = set(ops.split()) if isinstance(ops, str) else set(ops)
    found = [node for node in graph.nodes if node.op in wanted and also(node)]
    return found[int(rng.integers(len(found)))] if found else None


def replace(graph: Graph, node: Node, output: str) -> bool:
    """Let ``output`` take a node's place."""
    graph.redirect(node.output, output)
    graph.remove(node)
    return True


def apply(graph: Graph, name: str, rng: np.random.Generator) -> bool:
    """One rewrite; what takes a blamed node's place, or stands where its inside was, is to blame."""
    before = {node.name for node in graph.nodes}
    if not (REWRITES | RARER)[name](graph, rng):
        return False
    graph.prune()
    graph.changed()
    after = {node.name for node in graph.nodes}
    if graph.blamed & (before - after):
        graph.blamed = (graph.blamed & after) | (after - before)
    return True
