"""Which patches there are for each culprit, the smallest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aligner.adapters.rewriting import Reorder
from aligner.causes.context import Survey
from aligner.causes.search import Examined
from aligner.records.comparison import Finding
from aligner.repair.from_claim import patch_of
from aligner.repair.patch import Patch
from aligner.repair.recalibration import recalibrated
from aligner.repair.transplant import transplant


@dataclass(frozen=True, slots=True)
class Plan:
    """The patches of one culprit, in the order in which they are to be tried.

    ``proven``: a cause was; else they are a guess, which only a comparison can bear out.
    """

    value: str
    node: str
    proven: bool
    patches: tuple[Patch, ...]
    source: str | None = None


def plans(survey: Survey, examined: list[Examined], findings: list[Finding]) -> list[Plan]:
    """A plan for each culprit that was examined, upstream first, and one for outputs in another order."""
    found = [
        Plan(
            one.culprit.measured.pair.candidate,
            one.culprit.where,
            bool(one.proven or one.likely),
            tuple(_patches(one, survey)),
            one.culprit.source,
        )
        for one in examined
    ]
    return [*_in_order(survey, findings), *found]


def _patches(one: Examined, survey: Survey) -> Iterator[Patch]:
    """What each claim changed; a range for what is quantised; then the reference's region in the candidate's place."""
    for claim in (*one.proven, *one.likely):
        patch = patch_of(one.culprit, claim)
        if patch is not None:
            yield patch
    yield from recalibrated(one.culprit)
    whole = transplant(one.culprit, survey)
    if whole is not None:
        yield whole


def _in_order(survey: Survey, findings: list[Finding]) -> Iterator[Plan]:
    if not any(one.id == "output-order" for one in findings):
        return
    left, right = (tuple(dict.fromkeys(graph.outputs)) for graph in survey.graphs)
    answers = {item.pair.reference: item.pair.candidate for item in survey.measured}
    places = [right.index(answers[value]) for value in left if answers.get(value) in right]
    if sorted(places) != list(range(len(right))):
        return
    names = ", ".join(survey.graphs[1].values[right[place]].name for place in places)
    patch = Patch("", right[0], f"outputs in the reference's order: {names}", (Reorder(tuple(places)),))
    yield Plan("", right[0], True, (patch,))
