"""Why: every culprit is put before every cause; proven causes lead, one cause over many nodes is one finding."""

from __future__ import annotations

import importlib
import math
import pkgutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aligner.causes import families
from aligner.causes.cause import PROVEN, Cause, Claim, Proof, prove
from aligner.causes.context import Survey
from aligner.causes.global_causes import find_whole
from aligner.causes.unknown import Unknown
from aligner.operations.operation import Unsupported
from aligner.records.comparison import Finding
from aligner.regions.culprit import Culprit
from aligner.regions.region_side import Evidence

for _module in pkgutil.iter_modules(families.__path__):
    importlib.import_module(f"{families.__name__}.{_module.name}")

_EXAMINED = 64
"""Culprits looked at: their weights are read, so a model with thousands stays a matter of seconds."""
_SECONDS = 20.0
"""Time after which no further culprit is examined."""
_SHOWN = 3
"""Findings kept of one culprit."""
_BENIGN_AFTER = 1


@dataclass(frozen=True, slots=True)
class _Held:
    """A claim that stands, with its proof if it has one."""

    cause: type[Cause]
    claim: Claim
    proof: Proof | None
    place: int
    node: str
    source: str | None
    order: int = 0
    """Place among the claims about one culprit, the best explanation first."""

    @property
    def proven(self) -> bool:
        return self.proof is not None and self.proof.explained >= self.claim.needed

    @property
    def confidence(self) -> float:
        likely = min(0.95, self.cause.prior * self.claim.weight)
        return 0.9 + 0.09 * likely if self.proven else 0.8 * likely


def find_causes(survey: Survey, evidence: Mapping[str, Evidence] | None = None) -> list[Finding]:
    """Findings about the guilty pairs of the survey, best first.

    ``evidence`` maps candidate values to the arrays of their local error; a culprit without is judged by its settings
    and weights alone, and nothing about it is proven.
    """
    graphs, guilty = survey.graphs, survey.guilty
    started = time.monotonic()
    held: list[_Held] = []
    for place, item in enumerate(guilty[:_EXAMINED]):
        if place and time.monotonic() - started > _SECONDS:
            break
        culprit = Culprit(graphs, item, (evidence or {}).get(item.pair.candidate))
        held += _examine(culprit, survey, place) or [_nothing(culprit, survey, place)]
    whole = find_whole(survey)
    own = _findings(_grouped(held))
    return own + whole if any(one.proven for one in held) else whole + own


def _examine(culprit: Culprit, survey: Survey, place: int) -> list[_Held]:
    found: list[_Held] = []
    for kind in sorted(Cause.registry, key=lambda c: -c.prior):
        try:
            best = _best_claim(kind, culprit, survey, place)
        except _MISFITS:
            continue
        if best is not None:
            found.append(best)
    return [replace(one, order=order) for order, one in enumerate(_best(found))]


_MISFITS = (Unsupported, ValueError, IndexError, TypeError, ArithmeticError, MemoryError)
"""What arrays of unforeseen shape raise: the cause at hand is not at work there, and the others still may be."""


def _best_claim(kind: type[Cause], culprit: Culprit, survey: Survey, place: int) -> _Held | None:
    best: _Held | None = None
    left = _FURTHER
    for claim in kind().claims(culprit, survey):
        proof = prove(culprit, claim)
        one = _Held(kind, claim, proof, place, claim.node or culprit.where, culprit.source)
        if proof is not None and not one.proven:
            one = replace(one, claim=replace(claim, weight=claim.weight * _doubt(proof)))
        if claim.only_proven and not one.proven:
            continue
        if best is None or _better(one, best):
            best = one
        left -= best.proven
        if best.proven and (left < 0 or (best.proof is not None and best.proof.explained >= _WHOLLY)):
            break
    return best


_WHOLLY = 0.99
_FURTHER = 4
"""Claims of one cause that are still looked at when one has been proven that leaves something to explain."""


def _better(one: _Held, best: _Held) -> bool:
    if one.proven and best.proven and one.proof is not None and best.proof is not None:
        return one.proof.explained > best.proof.explained + 1 - _WHOLLY
    return (one.proven, one.confidence) > (best.proven, best.confidence)


def _doubt(proof: Proof) -> float:
    """A prediction that was made and failed speaks against its claim; one that explains half speaks a little for it."""
    return 0.3 + 0.6 * max(0.0, proof.explained)


def _best(found: list[_Held]) -> list[_Held]:
    """Proven claims first, the better explanation first where it is clearly better."""
    proven = [one for one in found if one.proven and one.proof is not None]
    if not proven:
        return sorted(found, key=lambda one: (one.cause.benign, -one.confidence))[:_SHOWN]
    top = max(one.proof.explained for one in proven if one.proof is not None)
    close = [one for one in proven if one.proof is not None and one.proof.explained >= _as_good(top)]
    exact = [one for one in close if not one.cause.general]
    close = exact or close
    if any(one.claim.written and one.proof is not None and one.proof.explained >= _NOTHING_LEFT for one in close):
        close = [one for one in close if one.claim.written or not one.claim.only_proven]
    close.sort(key=lambda one: (one.cause.benign, -one.cause.prior * one.claim.weight))
    rest = sorted(
        (one for one in proven if one not in close and not one.cause.general),
        key=lambda one: -(one.proof or _NONE).explained,
    )
    return (close + (rest if top < _NOTHING_LEFT else []))[:_SHOWN]


_NOTHING_LEFT = 0.999
"""Explained share from which a clearly worse explanation of the same error is no second cause beside it."""


_NONE = Proof(0.0, 0.0, 0.0)


def _as_good(top: float) -> float:
    """Explanations that leave no more than ten times the residue of the best one count as equal, 2 % always do."""
    return min(0.98, 1 - 10 * (1 - top)) if top >= 0.98 else top - 0.02


def _nothing(culprit: Culprit, survey: Survey, place: int) -> _Held:
    claim = next(Unknown().claims(culprit, survey))
    return _Held(Unknown, claim, None, place, culprit.where, culprit.source)


def _grouped(held: list[_Held]) -> list[list[_Held]]:
    groups: dict[str, list[_Held]] = {}
    for one in held:
        groups.setdefault(one.cause.id, []).append(one)
    proven_ids = {one.cause.id for one in held if one.proven}
    for identifier, group in groups.items():
        if identifier in proven_ids:
            group.sort(key=lambda one: (not one.proven, one.place))
    ranked = list(groups.values())
    ranked.sort(key=_rank)
    return ranked


def _rank(group: list[_Held]) -> tuple[bool, bool, int, bool, int, float]:
    best = group[0]
    place = min(one.place for one in group)
    benign = best.cause.benign or best.cause is Unknown
    late = not best.proven or benign
    where = place if best.proven else min(place, _BENIGN_AFTER)
    order = best.order if best.proven else 0
    return (late, best.cause is Unknown, where, benign, order, -best.confidence)


def _fall(proof: Proof) -> str:
    if math.isinf(proof.before):
        return f"the shapes agree and the error is {proof.after:.2g}"
    return f"the local error falls from {proof.before:.2g} to {proof.after:.2g}"


def _findings(groups: list[list[_Held]]) -> list[Finding]:
    """One finding for each group; a first one that lies further down says that it leaves the first divergence open."""
    own = [_finding(group) for group in groups]
    if groups and min(one.place for one in groups[0]) > 0:
        first = next((one.node for group in groups for one in group if one.place == 0), None)
        if first is not None:
            text = f"{own[0].evidence}; this lies further down: nothing is proven of the first divergence, {first}"
            own[0] = replace(own[0], evidence=text)
    return own


def _finding(group: list[_Held]) -> Finding:
    best = group[0]
    others = len(dict.fromkeys(one.node for one in group)) - 1
    text = best.claim.evidence
    if best.proof is not None and best.proven and best.claim.change:
        text += f"; {best.claim.change} {_fall(best.proof)}"
    if best.source and best.source not in text:
        text += f" [{best.source}]"
    if others:
        text += f"; likewise at {others} other node{'s' if others > 1 else ''}"
    explained = round(best.proof.explained, 6) if best.proof is not None and best.proven else None
    return Finding(best.cause.id, best.node, round(best.confidence, 3), text, explained, best.claim.suggestion)


__all__ = ["PROVEN", "find_causes"]
