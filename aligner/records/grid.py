"""Two models compared at several sizes of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aligner.records.dataclass import dataclass

PointVerdict = Literal["aligned", "diverged", "inconclusive"]


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One point: the sizes, what was concluded, the candidate's nodes that err there, the first of them.

    ``why`` says what a candidate that cannot run at these sizes, though the reference can, raised.
    """

    sizes: Mapping[str, int]
    verdict: PointVerdict
    node: str | None = None
    erring: tuple[str, ...] = ()
    error: float | None = None
    why: str | None = None


def depending(points: tuple[GridPoint, ...]) -> str | None:
    """The first node that errs at some of the points and not at all of them; None where every node errs everywhere."""
    ran = [point for point in points if point.why is None]
    return next(
        (node for point in ran for node in point.erring if any(node not in other.erring for other in ran)),
        None,
    )
