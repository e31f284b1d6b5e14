"""What a verdict rests on, so that it can be checked and run again."""

from __future__ import annotations

from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class CulpritEffect:
    """One culprit, left as it is while the others hold the reference's tensors.

    ``output_error`` is the largest error of the outputs then; ``necessary``: it breaks the contract by more than
    rounding, so that the outputs do not agree without mending this one. None where that was not run, or where the
    tensor of another culprit, put in its place, hides it.
    """

    name: str
    output_error: float | None = None
    necessary: bool | None = None


@dataclass(frozen=True, slots=True)
class OutputStanding:
    """One output of the reference: its error, what rounding explains of it (error over that: ``margin``), the verdict.

    ``state``: "within" the contract, "rounding" beyond it, "beyond" both, "unshown" which of them, "unanswered" or
    "incomparable".
    """

    name: str
    candidate: str | None
    state: str
    error: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outputs before and after the culprits' tensors were replaced by the reference's, in one run.

    ``before`` and ``after`` are the largest absolute errors of the outputs, ``after`` None where it was not run;
    ``sufficient``: after it the outputs keep the contract or are off by rounding alone. ``floor`` are the distances of
    reference and candidate from float64 at the worst output. ``interval``: without a culprit, the last tensor that
    agrees and the first that does not.
    """

    before: float | None
    after: float | None = None
    sufficient: bool | None = None
    culprits: tuple[CulpritEffect, ...] = ()
    outputs: tuple[OutputStanding, ...] = ()
    floor: tuple[float, float] | None = None
    interval: tuple[str, ...] = ()
