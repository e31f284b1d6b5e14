"""What the file looks like: copies of nodes, dead ends, names, order, masks."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


@rewrite
def compute_twice(graph: Graph, rng: np.random.Generator) -> bool:
    """Each of two readers gets a node of its own."""
    node = pick(
        graph, rng, {n.op for n in graph.nodes}, lambda n: len(n.outputs) == 1 and len(graph.readers(n.output)) > 1
    )
    if node is None or node.output in graph.outputs:
        return False
    reader = graph.readers(node.output)[0]
    copy = graph.add(node.op, *node.inputs, domain=node.domain, **dict(node.attributes))
    if node.name in graph.blamed:
        graph.blamed.add(graph.nodes[-1].name)
    reader.inputs = [copy if name == node.output else name for name in reader.inputs]
    return True


@rewrite
def compute_once(graph: Graph, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Two nodes that do the same to the same become one."""
    seen: dict[str, Node] = {}
    for node in graph.ordered():
        key = repr(
            (
                node.op,
                [graph.constants[n].tobytes() if n in graph.constants else n for n in node.inputs],
                sorted(node.attributes.items()),
            )
        )
        if key in seen and len(node.outputs) == 1 and node.output not in graph.outputs:
            return replace(graph, node, seen[key].output)
        seen.setdefault(key, node)
    return False


@rewrite
def share_constants(graph: Graph, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Equal constants are stored once."""
    seen: dict[tuple[bytes, tuple[int, ...], str], str] = {}
    merged = False
    for name, array in list(graph.constants.items()):
        key = (array.tobytes(), array.shape, str(array.dtype))
        if key in seen:
            merged = True
            for node in graph.nodes:
                node.inputs = [seen[key] if each == name else each for each in node.inputs]
        seen.setdefault(key, name)
    return merged


@rewrite
def mask_by_choice(graph: Graph, rng: np.random.Generator) -> bool:
    """An added mask as a choice between the scores and a very low number."""

    def masked(node: Node) -> bool:
        mask = graph.constant(node.inputs[1])
        return (
            mask is not None
            and mask.dtype == np.float32
            and bool(mask.min() <= -1e9)
            and bool(np.isin(mask, (0, mask.min())).all())
        )

    node = pick(graph, rng, "Add", masked)
    if node is None:
        return False
    mask = graph.constants[node.inputs[1]]
    low = float(rng.choice([-np.inf, -1e9, np.finfo(np.float32).min]))
    return replace(graph, node, graph.add("Where", graph.keep(mask == 0), node.inputs[0], graph.keep(np.float32(low))))


@rewrite
def rename(graph: Graph, rng: np.random.Generator) -> bool:
    """Every node and inner value gets a number for a name; inputs and outputs keep theirs."""
    kept = {*graph.feeds, *graph.outputs, ""}
    names = [*graph.constants, *(out for node in graph.nodes for out in node.outputs)]
    start = int(rng.integers(100, 900))
    new = {name: f"t{start + place}" for place, name in enumerate(dict.fromkeys(names)) if name not in kept}
    ordered = graph.ordered()
    graph.origins = {new.get(name, name): origin for name, origin in graph.origins.items()}
    graph.constants = {new.get(name, name): array for name, array in graph.constants.items()}
    blamed = [node.name in graph.blamed for node in ordered]  # before any: a new name may be another's former one
    for place, node in enumerate(ordered):
        node.inputs = [new.get(name, name) for name in node.inputs]
        node.outputs = [new.get(name, name) for name in node.outputs]
        node.name = f"n{start + place}"
    graph.blamed = {node.name for node, guilty in zip(ordered, blamed, strict=True) if guilty}
    return True


@rewrite
def reorder(graph: Graph, rng: np.random.Generator) -> bool:
    """Another order in which the nodes can run."""
    graph.nodes = graph.ordered(lambda count: int(rng.integers(count)))
    return True
