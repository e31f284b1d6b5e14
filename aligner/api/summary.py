"""From judged measurements to the one record that every report renders."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.errors import listing
from aligner.execution.output_answers import OutputAnswer
from aligner.execution.side import OpenSide
from aligner.judgement.judgement import Judgement
from aligner.operations.kinds import RENAMED
from aligner.records.alignment import Alignment, PairedValues, Region
from aligner.records.comparison import Coverage, Pair, Side, TensorStatistics, Unpaired, Within, pair_id
from aligner.records.graph import Graph, Value
from aligner.records.measurement import Measured

_NOT_PAIRABLE = frozenset({"constant", "layout-only", "fused away", "not computed"})
"""Reasons that say a tensor cannot have a partner; the others count against coverage."""


class SideWriter:
    """Describes one graph's values as sides of pairs."""

    def __init__(self, side: OpenSide) -> None:
        self._graph: Graph = side.graph
        self._nodes = {node.index: node.name for node in self._graph.nodes}
        self._renamed: dict[str, list[str]] = {}
        for node in self._graph.nodes:
            if node.kind in RENAMED and node.outputs:
                for value in node.inputs:
                    self._renamed.setdefault(value, []).append(node.outputs[0])
        self._shapes = side.profile.sketches if side.profile is not None else {}

    def side(
        self,
        value_id: str,
        statistics: TensorStatistics | None = None,
        shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
        aliases: tuple[str, ...] = (),
    ) -> Side:
        """The value's place in its model; shape and dtype as at run time where known."""
        value = self._graph.values.get(value_id) or Value(value_id, value_id)
        node = self._graph.producer(value_id)
        sketch = self._shapes.get(value_id)
        known = value.shape is not None and None not in value.shape
        declared = tuple(d for d in value.shape or () if d is not None) if known else None
        return Side(
            name=value.name,
            names=tuple(dict.fromkeys((*value.aliases, *aliases))),
            op=node.op if node else "input",
            kind=node.kind if node else "input",
            node=node.name if node else value.name,
            index=value.index,
            scope=node.scope if node else None,
            source=node.source if node else None,
            shape=shape if shape is not None else (sketch.shape if sketch else declared),
            dtype=dtype or (sketch.dtype if sketch else value.dtype),
            statistics=statistics or TensorStatistics(),
        )

    def region_nodes(self, region: Region) -> tuple[str, ...]:
        """Names of the nodes of a region, in execution order."""
        return tuple(self._nodes[index] for index in region.nodes if index in self._nodes)

    def layout_aliases(self, value_id: str) -> tuple[str, ...]:
        """Names of what identities and casts make of a value, or made it from: the same tensor to a user."""
        names = []
        node = self._graph.producer(value_id)
        if node is not None and node.kind in RENAMED and node.inputs:
            names.append(self._name(node.inputs[0]))
        names += [self._name(value) for value in self._renamed.get(value_id, ())]
        return tuple(names)

    def _name(self, value_id: str) -> str:
        value = self._graph.values.get(value_id)
        return value.name if value else value_id


def pairs(
    sides: tuple[SideWriter, SideWriter], measured: Sequence[Measured], judgements: Sequence[Judgement]
) -> list[Pair]:
    """The report's pairs, in order; those that were judged as one with others name the nodes of all of them."""
    known = {item.pair.candidate: item.pair for item in measured}
    return [
        _pair(sides, item, judgement, [item.pair, *(known[value] for value in judgement.together if value in known)])
        for item, judgement in zip(measured, judgements, strict=True)
    ]


def _pair(
    sides: tuple[SideWriter, SideWriter], item: Measured, judgement: Judgement, together: Sequence[PairedValues]
) -> Pair:
    pair = item.pair
    regions = (
        Region(tuple(sorted({node for one in together for node in one.reference_region.nodes}))),
        Region(tuple(sorted({node for one in together for node in one.candidate_region.nodes}))),
    )
    reference = sides[0].side(
        pair.reference,
        item.reference_statistics,
        item.reference_shape,
        item.reference_dtype,
        pair.reference_aliases + sides[0].layout_aliases(pair.reference),
    )
    candidate = sides[1].side(
        pair.candidate,
        item.candidate_statistics,
        item.candidate_shape,
        item.candidate_dtype,
        pair.candidate_aliases + sides[1].layout_aliases(pair.candidate),
    )
    return Pair(
        reference=reference,
        candidate=candidate,
        rule=pair.rule,
        confidence=pair.confidence,
        axes=pair.axes,
        verdict=judgement.verdict,
        accumulated=item.accumulated.errors if item.accumulated else None,
        local=item.local.errors if item.local else None,
        noise=item.noise.max_abs if item.noise else None,
        bound=judgement.bound,
        note=judgement.note or pair.note,
        reference_nodes=sides[0].region_nodes(regions[0]),
        candidate_nodes=sides[1].region_nodes(regions[1]),
        within=Within(*within) if (within := judgement.within or pair.within) is not None else None,
        verdict_rule=judgement.rule,
        opinions=judgement.opinions,
        id=pair_id(reference, candidate),
    )


def unpaired(side: SideWriter, reasons: dict[str, str]) -> tuple[Unpaired, ...]:
    """Every tensor without a partner, with its reason."""
    return tuple(Unpaired(side.side(value), reason) for value, reason in reasons.items() if reason != "constant")


def unanswered_outputs(graphs: tuple[Graph, Graph], answers: Sequence[OutputAnswer]) -> list[str]:
    """A sentence for each side whose outputs were not all compared."""
    used = {answer.candidate for answer in answers}
    missing = (
        [answer.reference for answer in answers if answer.candidate is None],
        [value for value in dict.fromkeys(graphs[1].outputs) if value not in used],
    )
    return [
        f"outputs of the {role} without a counterpart, not compared: {listing(graph.values[v].name for v in values)}"
        for role, graph, values in zip(("reference", "candidate"), graphs, missing, strict=True)
        if values
    ]


def uneven_caches(graphs: tuple[Graph, Graph], answers: Sequence[OutputAnswer]) -> list[str]:
    """A sentence where one side's caches hold fewer positions than the other's have room for."""
    found = [answer for answer in answers if answer.shared]
    names = listing(graphs[0].values[answer.reference].name for answer in found)
    many = listing(sorted({str(answer.shared) for answer in found}))
    return [f"caches of two lengths were compared on the last positions that both hold ({many}): {names}"] * bool(found)


def reordered_caches(graphs: tuple[Graph, Graph], answers: Sequence[OutputAnswer]) -> list[str]:
    """A sentence where both sides' caches hold the same in another order of channels."""
    names = listing(graphs[0].values[answer.reference].name for answer in answers if answer.reordered)
    told = "caches whose channels lie in another order on the candidate, one order for all heads and positions, were "
    return [f"{told}compared and fed in that order; the scores say whether it is read so: {names}"] * bool(names)


def shared_nonfinite(outputs: Sequence[Pair]) -> list[str]:
    """A sentence for each output that holds NaN or infinity on both sides: equal, and still no result."""
    notes = []
    for pair in outputs:
        left, right = pair.reference.statistics, pair.candidate.statistics
        if (left.nan or left.inf) and (right.nan or right.inf):
            notes.append(f"output {pair.candidate.name}: {left.nan} NaN and {left.inf} infinite values on both sides")
    return notes


def coverage(alignment: Alignment) -> Coverage:
    """Shares of the pairable tensors that are paired, on each side, and of all that compute something."""
    missing = [
        sum(1 for reason in reasons.values() if reason not in _NOT_PAIRABLE)
        for reasons in (alignment.unpaired_reference, alignment.unpaired_candidate)
    ]
    paired = len({pair.reference for pair in alignment.pairs}), len(alignment.pairs)
    shares = [count / (count + left) if count + left else 0.0 for count, left in zip(paired, missing, strict=True)]
    computing = [one.paired / one.computing if one.computing else None for one in alignment.answered]
    virtual = [one.virtual / one.computing if one.computing else None for one in alignment.answered]
    return Coverage(shares[0], shares[1], len(alignment.pairs), sum(missing), *computing, *virtual)
