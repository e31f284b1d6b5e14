"""Outputs in another order, or more or fewer of them: nothing is wrong inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.context import Survey
from aligner.causes.global_cause import WholeCause
from aligner.records.comparison import Finding


class OutputOrder(WholeCause):
    """The same outputs at other places."""

    id: ClassVar[str] = "output-order"

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """Places of paired outputs that are not in order."""
        left, right = (tuple(dict.fromkeys(graph.outputs)) for graph in survey.graphs)
        partner = _partners(survey)
        places = [left.index(partner[value]) for value in right if partner.get(value) in left]
        if len(places) > 1 and places != sorted(places):
            names = [survey.graphs[1].values[value].name for value in right]
            yield Finding.of(
                self.id,
                names[0],
                "proven",
                f"the candidate's outputs {', '.join(names)} are the reference's outputs number "
                f"{', '.join(str(place + 1) for place in places)}; converters sort outputs by name",
                "bind outputs by name, not by position",
            )


class OutputExtra(WholeCause):
    """Outputs that only one side has: training heads, a list flattened, the same tensor twice."""

    id: ClassVar[str] = "output-extra"

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """Another number of outputs."""
        counts = [len(graph.outputs) for graph in survey.graphs]
        if counts[0] == counts[1]:
            return
        side = 0 if counts[0] > counts[1] else 1
        paired = _partners(survey)
        known = set(paired.values()) if side == 0 else set(paired)
        others = set(survey.graphs[1 - side].outputs)
        extra = [value for value in survey.graphs[side].outputs if not _answered(value, side, paired, others)]
        seen = [value for value in survey.graphs[side].outputs if value in known]
        names = [survey.graphs[side].values[v].name for v in extra or seen[-1:]]
        owner = ("reference", "candidate")[side]
        yield Finding.of(
            self.id,
            names[0] if names else "",
            "proven",
            f"the {owner} has {counts[side]} outputs, the other side {counts[1 - side]}: "
            f"{', '.join(names[:5]) or 'one'} {'has' if len(names) < 2 else 'have'} no counterpart",
            "leave training outputs out of the export, and bind outputs by name",
        )


def _partners(survey: Survey) -> dict[str, str]:
    """Candidate value → reference value."""
    return {item.pair.candidate: item.pair.reference for item in survey.measured}


def _answered(value: str, side: int, paired: dict[str, str], others: set[str]) -> bool:
    if side == 1:
        return paired.get(value) in others
    return any(reference == value and candidate in others for candidate, reference in paired.items())
