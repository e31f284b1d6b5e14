"""Which patches there are for each culprit, the smallest first."""

from __future__ import annotations

from collections.abc import Iterator

from aligner.causes.context import Context
from aligner.causes.search import Examined
from aligner.records.comparison import Finding
from aligner.repair.from_claim import patch_of
from aligner.repair.outputs import output_plans
from aligner.repair.patch import Patch, Plan
from aligner.repair.recalibration import recalibrated
from aligner.repair.transplant import transplant


def plans(context: Context, examined: list[Examined], findings: list[Finding]) -> list[Plan]:
    """A plan for each culprit that was examined, upstream first, and one for outputs in another order."""
    found = [
        Plan(
            one.culprit.measured.pair.candidate,
            one.culprit.where,
            bool(one.proven or one.likely),
            tuple(_patches(one, context)),
            one.culprit.source,
        )
        for one in examined
    ]
    return [*output_plans(context, findings), *found]


def _patches(one: Examined, context: Context) -> Iterator[Patch]:
    """What each claim changed; a range for what is quantised; then the reference's region in the candidate's place."""
    for claim in (*one.proven, *one.likely):
        patch = patch_of(one.culprit, claim)
        if patch is not None:
            yield patch
    yield from recalibrated(one.culprit)
    whole = transplant(one.culprit, context)
    if whole is not None:
        yield whole
