"""Why, what became of the weights, pictures: asked only of a comparison that has a culprit, and loaded only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.api.dissecting import dissections
from aligner.api.explanation import Explanation
from aligner.api.options import Told
from aligner.api.weighing import tally
from aligner.causes.context import Context
from aligner.causes.search import Examined, find_causes
from aligner.errors import AlignerError
from aligner.execution.clock import Clock
from aligner.execution.evidence import gather
from aligner.execution.passes import Passes
from aligner.execution.previewing import previews
from aligner.execution.side import Sides
from aligner.records import progress
from aligner.records.alignment import Alignment
from aligner.records.comparison import Pair, WeightTally
from aligner.records.measurement import Measured


def explained(
    sides: Sides,
    clock: Clock,
    passes: Passes,
    context: Context,
    guilty: Mapping[int, Measured],
    ends: tuple[Sequence[Pair], Sequence[Pair]],
    alignment: Alignment | None,
    told: Told | None = None,
) -> Explanation:
    """Causes of the culprits, given by their places among the pairs; without an ``alignment`` nothing else.

    ``ends`` are all pairs, in the order of ``passes.measured``, and the outputs among them.
    """
    graphs = sides[0].graph, sides[1].graph
    with clock.phase("diagnose"):
        progress.enter("", "looking for causes")
        culprits = list(guilty.values())
        evidence = gather(*sides, passes, culprits) if culprits else {}
        examined: list[Examined] = []
        causes = find_causes(context, evidence, examined)
        if told is not None:
            told(context, examined, causes)
    if alignment is None:
        return Explanation(causes)
    with clock.phase("weigh"):
        weights = _tally(sides, alignment, culprits)
    with clock.phase("draw"):
        parts = dissections(graphs, guilty, evidence)
        pictures = previews(passes, *ends, graphs[0].channels)
    return Explanation(causes, weights, parts, pictures)


def _tally(sides: Sides, alignment: Alignment, culprits: Sequence[Measured]) -> WeightTally | None:
    """What became of the weights; None where a runtime refuses the run that this takes: the comparison stands."""
    try:
        return tally(sides, alignment, {w for item in culprits for w in item.pair.candidate_region.weights})
    except AlignerError:
        return None
