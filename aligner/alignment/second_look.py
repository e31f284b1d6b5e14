"""What the candidate's tensors on the reference's operands say of the pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace

from aligner.alignment.compatibility import agree, same_order
from aligner.alignment.skeleton import read
from aligner.alignment.sketch_index import SketchShelf
from aligner.records.alignment import Alignment, PairedValues, Sketch
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph


@dataclass(frozen=True, slots=True)
class SecondLook:
    """``sketches`` are the candidate's in that run; ``found`` pairs are settled, ``dropped`` ones never made again."""

    sketches: Mapping[str, Sketch] = field(default_factory=dict)
    found: tuple[tuple[str, str], ...] = ()
    dropped: frozenset[tuple[str, str]] = frozenset()
    inserted: tuple[tuple[str, str], ...] = ()
    """(reference, candidate): what a node that only the candidate has makes of a tensor, which has its partner."""
    confirmed: tuple[PairedValues, ...] = ()
    """Pairs that agree in that run: made again before others are looked for, so that no new pair changes them."""
    meant: frozenset[str] = frozenset()
    """Forms of the candidate's whose moves are meant, whatever their readers make of them."""

    def repaired(self, gone: Collection[tuple[str, str]], new: Iterable[tuple[str, str]]) -> SecondLook:
        """The same with some pairs given up and others settled."""
        stay = [pair for pair in self.found if pair not in gone]
        return replace(self, dropped=self.dropped.union(gone), found=tuple(dict.fromkeys([*stay, *new])))


def same_values(
    graphs: tuple[Graph, Graph],
    sketches: tuple[Mapping[str, Sketch], Mapping[str, Sketch]],
    local: Mapping[str, Sketch],
    alignment: Alignment,
    gone: Collection[tuple[str, str]],
    reserved: Collection[str] = (),
) -> list[tuple[str, str]]:
    """Tensors without a partner that hold the same numbers, on the reference's operands or on the candidate's own.

    Only the one of its numbers on each side; of several the one that a node of the same kind computes. Pairs in
    ``gone`` leave their tensors free, but for candidates that are ``reserved``.
    """
    sides = read(graphs[0], sketches[0]), read(graphs[1], sketches[1])
    pairs = [pair for pair in alignment.pairs if (pair.reference, pair.candidate) not in gone]
    taken = {sides[0].root(pair.reference) for pair in pairs}, {sides[1].root(pair.candidate) for pair in pairs}
    free = SketchShelf(
        (sketches[0][value], value)
        for node in sides[0].compute
        for value in node.outputs
        if value in sketches[0] and value not in taken[0]
    )
    claims: dict[str, list[str]] = defaultdict(list)
    for node in sides[1].compute:
        for value in node.outputs:
            seen = [one for one in (local.get(value), sketches[1].get(value)) if one is not None]
            if value in taken[1] or value in reserved or not seen or seen[0].size < _FEW:
                continue
            same = {
                other
                for one in seen
                for other in free.near(one)
                if (agree(sketches[0][other], one) and same_order(sketches[0][other], one) is not False)
                or (agree(sketches[0][other], one) and sketches[0][other].shape != one.shape)
            }
            same = {other for other in same if (other, value) not in gone}
            alike = {other for other in same if sides[0].producer[other].kind == node.kind}
            chosen = same if len(same) == 1 else alike
            if len(chosen) == 1:
                claims[chosen.pop()].append(value)
    return [(value, others[0]) for value, others in claims.items() if len(others) == 1]


_FEW = 4
"""Elements below which two tensors agree by chance."""
