"""What a cause is: something that may be wrong, with a prediction that can be held against what was computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, ClassVar

from aligner.adapters.wording import Topic
from aligner.causes.context import Context
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.regions.culprit import Counterfactual, Culprit, largest


class Basis(IntEnum):
    """What a claim rests on, the best first: a smaller one leads where two explain an error equally well."""

    WRITTEN = 0
    """The two values stand in the two models, and one is put in the other's place."""
    FITTED = 1
    """Few numbers are solved for."""
    BLIND = 2
    """One of several values or moves that were tried."""
    SUSPICION = 3
    """Nothing was recomputed, or what was did not explain the error."""


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
    candidate's; 1: the candidate's, which should become the reference's; a counterfactual says itself which); None
    where nothing can be recomputed.
    ``measured`` is a proof that the cause has made itself, where a distance says nothing (NaN, masks). ``change`` words
    it: "with pads ((1, 1), (1, 1)) instead of ((0, 2), (0, 2))". ``written``: the two values stand in the two models,
    and one is put in the other's place; ``borrowed``: one of several values that were tried stands in the other model;
    ``parameters``: how many numbers were solved for. ``structural``: the difference stands in the two graphs, in a node
    that one side lacks or in a setting. ``vague``: it says how numbers differ and not why, so that any other
    explanation as good comes first. ``only_proven``: dropped when its prediction fails, as all is that is not written.
    ``becomes``: a value of the candidate and the other one that stands in its place under the hypothesis.
    ``alike``: what it changes is written alike in both models, so that nothing but the error speaks for it.
    ``needed``: share that it must explain, where noise that cannot be recomputed is part of the error; else
    ``threshold`` says it.
    """

    evidence: str
    suggestion: str
    change: str = ""
    predict: Callable[[], Array | None] | None = None
    side: int = 0
    only_proven: bool = False
    measured: Proof | None = None
    node: str | None = None
    needed: float | None = None
    written: bool = False
    parameters: int = 0
    structural: bool = False
    vague: bool = False
    borrowed: bool = False
    becomes: tuple[str, str] | None = None
    alike: bool = False

    def place(self, culprit: Culprit) -> str:
        """The node that it speaks of."""
        changed = self.predict.node if isinstance(self.predict, Counterfactual) else None
        return self.node or changed or culprit.where

    @property
    def recomputed(self) -> int:
        """The side whose output is predicted."""
        return self.predict.side if isinstance(self.predict, Counterfactual) else self.side

    @property
    def basis(self) -> Basis:
        """What it rests on once its prediction holds."""
        if self.predict is None and self.measured is None:
            return Basis.SUSPICION
        return Basis.WRITTEN if self.written or self.borrowed else Basis.FITTED if self.parameters else Basis.BLIND

    @property
    def is_searched(self) -> bool:
        """Whether its numbers were solved for, or are among several that were tried."""
        return self.basis in {Basis.FITTED, Basis.BLIND}

    def threshold(self, elements: int, tried: int, floor: float) -> float:
        """The share of the error that it must explain to be believed; ``floor``: that which rounding leaves.

        A difference that is written need not explain all. What was searched for must leave next to nothing, but for
        what few bits leave, and explain no less than what is written does; and more than the best of ``tried``
        unrelated guesses once in a thousand searches: of n independent numbers, a random direction explains the share
        e with a probability of about (1 − e)^(n − 1).
        """
        if self.needed is not None:
            return self.needed
        if self.written:
            return PROVEN
        chance: float = (BY_CHANCE / max(tried, 1)) ** (1 / max(elements - 1 - self.parameters, 0.5))
        return max(PROVEN, min(SEARCHED, 1 - floor), 1 - chance)


PROVEN = 0.9
"""Share of the error that a written difference must explain to be its cause."""
SEARCHED = 0.98
"""Likewise for what was found by trying; what is merely related (another activation) explains less."""
BY_CHANCE = 1e-3
"""How often a search may come upon an explanation by chance."""


class Cause(ABC):
    """One cause at one culprit; a subclass with an ``id`` is found without being registered anywhere."""

    id: ClassVar[str] = ""
    fix: ClassVar[str] = ""
    """What helps. One class of an id says it, and an example."""
    example: ClassVar[str] = ""
    topic: ClassVar[Topic | None] = None
    """What the frameworks at hand say in their own words, beside what each claim advises."""
    benign: ClassVar[bool] = False
    general: ClassVar[bool] = False
    """Says what any more exact cause of the same proof says better."""
    unspecific: ClassVar[bool] = False
    """Names a number and no purpose: of two that explain as much with as little, the other one leads."""
    outside: ClassVar[bool] = False
    """Concerns what the model is fed: another reading of what its first nodes do, mended elsewhere."""
    sought: ClassVar[bool] = True
    covers_weights: ClassVar[bool] = False
    """Concerns the weights of the whole model: proven at one layer, it covers what is suspected at others."""
    resizes_axes: ClassVar[bool] = False
    """Gives axes other lengths: where these were taken for another order of axes, that order is wrong further down."""
    needs_error: ClassVar[bool] = True
    """Has nothing to say of a culprit whose own error was not measured."""
    shown: ClassVar[str] = (
        "The region is computed again under each hypothesis, and held against what the other side computed."
    )
    """How it comes to be believed, in a sentence."""
    registry: ClassVar[list[type[Cause]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.id and cls.sought:
            Cause.registry.append(cls)

    @abstractmethod
    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every way in which this cause may be at work here, likeliest first."""


def prove(culprit: Culprit, claim: Claim) -> Proof | None:
    """Hold a claim's prediction against what the other side really computed."""
    if claim.measured is not None:
        return claim.measured
    if claim.predict is None or culprit.expected is None or culprit.computed is None or not culprit.gap > 0:
        return None
    predicted = claim.predict()
    target = culprit.target(claim.recomputed)
    if predicted is None or target is None or predicted.shape != target.shape:
        return None
    size = culprit.size(claim.recomputed)
    explained = 1 - culprit.apart(target, predicted) / min(culprit.gap, size or culprit.gap)
    if not explained > 0:  # nobody is told how far off what explains nothing is
        return Proof(explained, math.inf, math.inf)
    before = math.inf if culprit.misfit else culprit.largest
    return Proof(explained, before, largest(target, predicted))


def held(array: Array | None) -> Callable[[], Array | None]:
    """A prediction that is known already."""
    return lambda: array
