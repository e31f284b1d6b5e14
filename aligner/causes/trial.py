"""The claims of one cause about one culprit, tried one by one, and the best of them with its proof."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

from aligner.causes.cause import PROVEN, Basis, Cause, Claim, Proof, prove
from aligner.causes.context import Context
from aligner.records.comparison import EvidenceClass
from aligner.records.dataclass import dataclass
from aligner.regions.culprit import Culprit

NOTHING_LEFT = 0.999
"""Explained share from which a clearly worse explanation of the same error is no second cause beside it."""
_WHOLLY = 0.99
"""Share of the error that leaves nothing for another cause to explain: a hundredth is rounding of the replay."""
_FURTHER = 4
"""Claims of one cause that are still looked at when one has been proven that leaves something to explain."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that stands, with its proof if it has one; ``tried`` predictions of its cause were made up to it."""

    cause: type[Cause]
    claim: Claim
    proof: Proof | None
    place: int
    node: str
    source: str | None
    tried: int = 0
    elements: int = 0
    weighted: bool = False
    """Whether the culprit's region reads weights."""
    floor: float = 0.0
    """The share of the error that rounding leaves of it however well it is explained."""
    order: int = 0
    """Place among the claims about one culprit, the best explanation first."""

    @property
    def proven(self) -> bool:
        """Whether what was recomputed explains the error."""
        least = self.claim.threshold(self.elements, self.tried, self.floor)
        return self.proof is not None and self.proof.explained >= least

    @property
    def explained(self) -> float:
        return self.proof.explained if self.proof is not None else 0.0

    @property
    def settles(self) -> bool:
        """Whether two values that are written in the models leave nothing to explain."""
        exact = not (self.cause.general or self.claim.vague)
        return exact and self.proven and self.basis is Basis.WRITTEN and self.explained >= NOTHING_LEFT

    @property
    def basis(self) -> Basis:
        return self.claim.basis if self.proven else Basis.SUSPICION

    @property
    def evidence_class(self) -> EvidenceClass:
        """What is written, or was searched for without free numbers, proves where it leaves nothing."""
        if self.basis is Basis.SUSPICION:
            return "suspected"
        left, floor = 1 - self.explained, min(self.floor, 1 - PROVEN)
        spared = 1 - NOTHING_LEFT if self.claim.needed is None else 1 - self.claim.needed
        return "proven" if self.basis is not Basis.FITTED and left <= max(spared, floor) else "fitted"

    @property
    def bits(self) -> float:
        """Description length: which of the tried alternatives it is, and half a logarithm of n for each number."""
        if self.claim.borrowed:
            return 0.0
        return math.log2(self.tried + 1) + self.claim.parameters * math.log2(self.elements + 1) / 2

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, Basis, float, bool]:
        """Sorts what explains an error equally well, the best first.

        What was searched for is one class: a number that is solved for costs as many bits as alternatives would.
        Of vague claims a proven one comes before one whose number was solved for, however general its cause.
        """
        cause, searched = self.cause, self.basis in {Basis.FITTED, Basis.BLIND}
        basis, bits = (Basis.FITTED, self.bits) if searched else (self.basis, 0.0)
        return (
            cause.benign,
            self.claim.vague,
            self.claim.vague and self.evidence_class != "proven",
            cause.general,
            basis,
            bits,
            cause.unspecific,
        )


class Trial:
    """The claims of one cause about one culprit, tried one by one; ``best`` is the best of those so far."""

    def __init__(self, kind: type[Cause], culprit: Culprit, context: Context, place: int) -> None:
        self._kind, self._culprit, self._place = kind, culprit, place
        self._claims: Iterator[Claim] = self._all(context)
        self._left, self._tried = _FURTHER, 0
        self.best: Held | None = None

    def _all(self, context: Context) -> Iterator[Claim]:
        if self._culprit.gap > 0 or not self._kind.needs_error:
            yield from self._kind().claims(self._culprit, context)

    def up_to_searched(self, **_: bool) -> None:
        """Try what is written, up to the first claim that was searched for."""
        for claim in self._claims:
            if claim.is_searched:
                self._claims = chain((claim,), self._claims)
                return
            if self._done(claim):
                self._claims = iter(())

    def further(self, *, settled: bool) -> None:
        """Try the others; of what was searched for none where all is ``settled``, and nothing that both models write
        alike where all is explained."""
        for claim in self._claims:
            spared = claim.is_searched and (settled or (self._culprit.explained and claim.alike))
            if not spared and self._done(claim):
                return

    def _done(self, claim: Claim) -> bool:
        """Try a claim; whether that is enough."""
        kind, culprit = self._kind, self._culprit
        proof = prove(culprit, claim)
        self._tried += proof is not None
        one = Held(
            kind,
            claim,
            proof,
            self._place,
            claim.place(culprit),
            culprit.source,
            self._tried,
            culprit.elements,
            bool(culprit.candidate.region.weights),
            culprit.floor,
        )
        only_proven = claim.only_proven or claim.is_searched or (kind.general and proof is not None)
        if only_proven and not one.proven:
            return False
        if self.best is None or _better(one, self.best):
            self.best = one
        self._left -= self.best.proven
        return self.best.proven and (self._left < 0 or self.best.explained >= _WHOLLY)


def _better(one: Held, best: Held) -> bool:
    if one.proven and best.proven:
        return one.explained > best.explained + 1 - _WHOLLY
    return (one.proven, one.explained) > (best.proven, best.explained)
