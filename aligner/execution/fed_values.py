"""The graph values behind what was fed."""

from __future__ import annotations

from aligner.execution.side import OpenSide
from aligner.inputs import PreparedFeeds
from aligner.records.graph import Graph


def fed_pairs(fed: PreparedFeeds, left: OpenSide, right: OpenSide) -> list[tuple[str, str]]:
    """The graph values of inputs that were fed the same data, and of those that share a name and were not."""
    pairs = []
    for names in fed.correspondence:
        ids = [_input_id(side, name) for side, name in zip((left, right), names[:2], strict=True)]
        if ids[0] is not None and ids[1] is not None:
            pairs.append((ids[0], ids[1]))
    known = {value for pair in pairs for value in pair}
    for name, array in fed.reference.items():
        other = (fed.candidate or {}).get(name)
        first, second = _input_id(left, name), _input_id(right, name)
        if other is None or first is None or second is None or {first, second} & known:
            continue
        if other.size == array.size:  # as many numbers: the one can be laid on the other
            pairs.append((first, second))
    return pairs


def _input_id(side: OpenSide, name: str) -> str | None:
    """The value of an input: of that name, else at that place of the signature (TorchScript renames values)."""
    if name in side.graph.inputs:
        return name
    named = [value for value in side.graph.inputs if side.graph.values[value].name == name]
    names = [spec.name for spec in side.session.signature.inputs]
    if not named and name in names and len(names) == len(side.graph.inputs):
        named = [side.graph.inputs[names.index(name)]]
    return named[0] if named else None


def unfed_pairs(reference: Graph, candidate: Graph) -> list[tuple[str, str]]:
    """Graph inputs that answer each other where nothing was fed: by name, then in order if equally many are left."""
    graphs = reference, candidate
    names = [{graph.values[value].name: value for value in graph.inputs if value in graph.values} for graph in graphs]
    pairs = [(value, names[1][name]) for name, value in names[0].items() if name in names[1]]
    rest = [
        [value for value in graph.inputs if all(pair[side] != value for pair in pairs)]
        for side, graph in enumerate(graphs)
    ]
    return pairs + (list(zip(*rest, strict=True)) if len(rest[0]) == len(rest[1]) else [])
