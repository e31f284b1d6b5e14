"""What a writer puts before and behind every name: "0012_conv1", "conv1_cast_fp16", "main_graph/conv1"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from aligner.adapters.dumps.dump import DumpedTensor
from aligner.adapters.dumps.fused_names import MOST_TOKENS, Tokens, known_names, tokens_of

Decoration = tuple[Tokens, Tokens]
"""Tokens before a name and behind it; numbers, which writers count up, are "#"."""
_FEW = 3
"""Names that can be decorated alike by chance, where others of the dump are not."""


def undecorated(
    tensors: Sequence[DumpedTensor], open_places: Collection[int], sources: Sequence[Mapping[str, list[str]]]
) -> dict[int, DumpedTensor]:
    """The tensors that carry what most open ones do, under what is left of their names.

    A decoration is what a writer does to all names: one that fewer than half have is part of the names.
    """
    known = known_names(sources)
    longest = max(map(len, known), default=0)
    named = {place: tokens_of(tensors[place].name) for place in open_places}
    votes = Counter(
        found
        for tokens in named.values()
        if len(tokens) <= MOST_TOKENS
        for found in _decorations(tokens, known, longest)
    )
    if not votes:
        return {}
    common, count = votes.most_common(1)[0]
    if count < 2 or 2 * count < len(named) or (count < _FEW and count < len(tensors)):
        return {}
    bare = {place: _without(tokens, common) for place, tokens in named.items()}
    return {place: replace(tensors[place], name="_".join(tokens)) for place, tokens in bare.items() if tokens}


def _decorations(tokens: Tokens, known: Collection[Tokens], longest: int) -> set[Decoration]:
    """What stands around the longest known name in a name, or around the longest row of known names."""
    ends = [
        [at + length for length in range(1, min(longest, len(tokens) - at) + 1) if tokens[at : at + length] in known]
        for at in range(len(tokens))
    ]
    reach = [*range(len(tokens) + 1)]
    for at in reversed(range(len(tokens))):
        reach[at] = max((reach[end] for end in ends[at]), default=at)
    cores = [(at, max(found)) for at, found in enumerate(ends) if found], [*enumerate(reach)]
    found: set[Decoration] = set()
    for spans in cores:
        most = max((end - at for at, end in spans), default=0)
        found |= {(_counted(tokens[:at]), _counted(tokens[end:])) for at, end in spans if end - at == most > 0}
    return found - {((), ())}


def _counted(tokens: Tokens) -> Tokens:
    return tuple("#" if token.isdigit() else token for token in tokens)


def _without(tokens: Tokens, decoration: Decoration) -> Tokens:
    """The tokens between; none where they are not decorated so."""
    before, behind = decoration
    end = len(tokens) - len(behind)
    if _counted(tokens[: len(before)]) != before or _counted(tokens[end:]) != behind:
        return ()
    return tokens[len(before) : end]
