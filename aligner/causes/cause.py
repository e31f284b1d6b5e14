"""What a cause is: something that may be wrong, with a prediction that can be held against what was computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.regions.culprit import Culprit, distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.causes.context import Survey

    Array = NDArray[Any]

PROVEN = 0.9
"""Share of the local error that a hypothesis must explain to count as proven."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How much of the local error a prediction explains, and the largest errors before and after.

    Where the error is larger than the tensor that is to be predicted, the share is one of that tensor: numbers near
    zero come a long way from an error in the hundreds, and predict nothing.

    Infinite before: the shapes did not fit, and now they do.
    """

    explained: float
    before: float
    after: float


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A hypothesis about one culprit.

    ``predict`` recomputes one side's output under the hypothesis (``side`` 0: the reference's, which should become the
    candidate's; 1: the candidate's, which should become the reference's); None where nothing can be recomputed.
    ``measured`` is a proof that the cause has made itself, where a distance says nothing (NaN, masks). ``change`` words
    it: "with pads ((1, 1), (1, 1)) instead of ((0, 2), (0, 2))". ``weight`` scales the cause's prior for what this
    culprit shows; a claim with ``only_proven`` is dropped when its prediction fails. ``written``: the two values stand
    in the two graphs, and one is put in the other's place; where that explains all, guesses as good are left out.
    """

    evidence: str
    suggestion: str
    change: str = ""
    predict: Callable[[], Array | None] | None = None
    side: int = 0
    weight: float = 1.0
    only_proven: bool = False
    measured: Proof | None = None
    node: str | None = None
    needed: float = PROVEN
    written: bool = False


class Cause(ABC):
    """One cause at one culprit; a subclass with an ``id`` is found without being registered anywhere."""

    id: ClassVar[str] = ""
    prior: ClassVar[float] = 0.5
    """How likely it is when it is suspected at all; orders what is equally well proven."""
    benign: ClassVar[bool] = False
    general: ClassVar[bool] = False
    """Says what any more exact cause of the same proof says better."""
    sought: ClassVar[bool] = True
    registry: ClassVar[list[type[Cause]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.id and cls.sought:
            Cause.registry.append(cls)

    @abstractmethod
    def claims(self, culprit: Culprit, survey: Survey) -> Iterator[Claim]:
        """Every way in which this cause may be at work here, likeliest first."""


def prove(culprit: Culprit, claim: Claim) -> Proof | None:
    """Hold a claim's prediction against what the other side really computed."""
    if claim.measured is not None:
        return claim.measured
    if claim.predict is None or culprit.expected is None or culprit.computed is None or not culprit.gap > 0:
        return None
    predicted = claim.predict()
    target = culprit.target(claim.side)
    if predicted is None or target is None or predicted.shape != target.shape:
        return None
    explained = 1 - distance(target, predicted) / min(culprit.gap, distance(target, 0 * target) or culprit.gap)
    before = math.inf if culprit.misfit else largest(culprit.computed, culprit.expected)
    return Proof(explained, before, largest(target, predicted))


def largest(left: Array, right: Array) -> float:
    """The largest absolute difference over what is finite on both sides."""
    import numpy as np

    with np.errstate(all="ignore"):
        delta = np.abs(left.astype(np.float64) - right.astype(np.float64))
        delta = delta[np.isfinite(delta)]
    return float(delta.max()) if delta.size else 0.0
