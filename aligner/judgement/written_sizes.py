"""A candidate that cannot run on another size: which node has the first input's size written into it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from aligner.judgement.second_input import Variant
from aligner.operations.kinds import SIZED
from aligner.records.comparison import Comparison, Finding, Pair
from aligner.records.graph import Graph, Node

_LARGEST = 16
"""Elements up to which an integer constant may be a list of sizes."""


def written_sizes(
    first: Comparison, graph: Graph, sizes: Mapping[int, int], variant: Variant, message: str
) -> Comparison:
    """The first comparison as a divergence at the node that cannot take another size."""
    node = _suspect(graph, sizes, message)
    pair = _pair(first, node)
    words = ", ".join(f"{new} instead of {old}" for old, new in sizes.items()) or variant.words
    literal = _literal(graph, node) if node else None
    text = f"the reference runs on a second input ({variant.words}: {words}), the candidate does not: {message.strip()}"
    if node is not None and literal:
        text += f"; {node.name} ({node.op}) has the sizes {literal} written into it"
    finding = Finding.of(
        "trace-baked-shape",
        node.name if node else (pair.candidate.node if pair else ""),
        "proven",
        text,
        "export with dynamic axes, and take sizes from x.shape inside the model",
        1.0,
    )
    wrong = replace(pair, verdict="introduced", note=f"cannot run on {variant.words}") if pair else None
    where = f" at {wrong.candidate.name} ({wrong.candidate.op})" if wrong else ""
    return replace(
        first,
        verdict="diverged",
        reason=f"the reference runs on a second input ({variant.words}), the candidate fails{where}",
        first_divergence=first.first_divergence or wrong,
        introduced=first.introduced or ((wrong,) if wrong else ()),
        pairs=tuple(wrong if wrong and p is pair else p for p in first.pairs),
        outputs=tuple(wrong if wrong and p is pair else p for p in first.outputs),
        causes=(finding, *first.causes) if not first.introduced else (*first.causes, finding),
    )


def _suspect(graph: Graph, sizes: Collection[int], message: str) -> Node | None:
    """The node that the runtime's message names; else the first that holds one of the old sizes, or a multiple."""
    named = [node for node in graph.nodes if len(node.name) > 3 and node.name in message]
    if named:
        return max(named, key=lambda node: len(node.name))
    sized = [(node, numbers) for node in graph.nodes if (numbers := _literal(graph, node))]
    exact = [node for node, numbers in sized if set(numbers) & set(sizes)]
    multiple = [node for node, numbers in sized if any(n > 0 and n % old == 0 for n in numbers for old in sizes)]
    return next(iter((*exact, *multiple, *(node for node, _ in sized))), None)


def _literal(graph: Graph, node: Node) -> tuple[int, ...]:
    """The integers that stand in a node that makes shapes."""
    if node.kind not in SIZED:
        return ()
    return tuple(_numbers(graph, node))


def _numbers(graph: Graph, node: Node) -> Iterator[int]:
    for name in ("shape", "size", "sizes", "ends", "end", "repeats"):
        value = node.attributes.get(name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not isinstance(number, bool):
                yield number
    for name in node.weights:
        weight = graph.weights.get(name)
        if weight is not None and "int" in weight.dtype and len(weight.shape) < 2 and weight.shape <= (_LARGEST,):
            yield from (int(number) for number in weight.load().reshape(-1))


def _pair(comparison: Comparison, node: Node | None) -> Pair | None:
    """The pair of that node's output, or the first that its region ends in; an output where there is none."""
    if node is not None:
        for pair in comparison.pairs:
            if node.name in (*pair.candidate_nodes, pair.candidate.node):
                return pair
    return comparison.outputs[0] if comparison.outputs else None
