"""Names that a fusing engine makes of several nodes': "conv1 + relu1", "PWN(/act/Relu)", whatever stands between."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from aligner.adapters.dumps.dump import DumpedTensor
from aligner.records.graph import Graph

_TOKENS = re.compile(r"[0-9A-Za-z]+")
_ADDED = frozenset({"pwn", "foreignnode", "withoutbiases"})
"""What TensorRT writes around the names of pointwise and compiled nodes, and OpenVINO behind that of a convolution."""
MOST_TOKENS = 400
"""Limit of work, names being a stranger's: longer ones are left as they are."""
_MOST_PARTS = 32
"""Likewise, of the nodes in one name and of the ways to split it."""

Tokens = tuple[str, ...]


def fused_names(
    tensors: Sequence[DumpedTensor] | Mapping[int, DumpedTensor],
    open_places: Collection[int],
    graph: Graph,
    sources: Iterable[Mapping[str, list[str]]],
) -> dict[str, list[str]]:
    """The name of each open tensor that is several known names in a row → the value that leaves those nodes.

    All the others must lead to that one; a name that can be read in two ways of as many parts is nobody's.
    """
    known = known_names(sources)
    longest = max(map(len, known), default=0)
    found: dict[str, list[str]] = {}
    for place in open_places:
        tokens = tokens_of(tensors[place].name)
        if len(tokens) > MOST_TOKENS:
            continue
        leaving: dict[int, set[str]] = {}
        bare = tuple(token for token in tokens if token not in _ADDED)
        for parts in _split(tokens, known, longest) or _split(bare, known, longest):
            if (value := _leaves(graph, parts)) is not None:
                leaving.setdefault(len(parts), set()).add(value)
        plainest = leaving[min(leaving)] if leaving else set()
        if len(plainest) == 1:
            found[tensors[place].name] = [*plainest]
    return found


def tokens_of(name: str) -> Tokens:
    """A name without what writers drop, double or change, TensorFlow's word for a first output among it."""
    return words_of(name.removesuffix(":0"))


def words_of(name: str) -> Tokens:
    """All the words of a name."""
    return tuple(token.lower() for token in _TOKENS.findall(name))


def known_names(sources: Iterable[Mapping[str, list[str]]]) -> dict[Tokens, str]:
    """Names that stand for one value each."""
    found: dict[Tokens, set[str]] = {}
    for source in sources:
        for name, values in source.items():
            for tokens in {tokens_of(name), words_of(name)} if len(values) == 1 else ():
                found.setdefault(tokens, set()).add(values[0])
    found.pop((), None)
    return {tokens: next(iter(values)) for tokens, values in found.items() if len(values) == 1}


def _split(tokens: Tokens, known: Mapping[Tokens, str], longest: int) -> list[list[str]]:
    """Every way, up to a few, of reading the tokens as two or more known names in a row."""
    ways: list[list[list[str]]] = [[[]]]
    for end in range(1, len(tokens) + 1):
        here: list[list[str]] = []
        for start in range(max(0, end - longest), end):
            value = known.get(tokens[start:end])
            if value is not None:
                here += [[*parts, value] for parts in ways[start] if len(parts) < _MOST_PARTS]
        ways.append(here[:_MOST_PARTS])
    return [parts for parts in ways[-1] if len(set(parts)) > 1]


def _leaves(graph: Graph, parts: Sequence[str]) -> str | None:
    """The one of the values that all the others lead to; None where there is none."""
    wanted = set(parts)
    return next((value for value in reversed(parts) if wanted <= graph.ancestors([value])), None)
