"""Why: every culprit is put before every cause; proven causes lead, one cause over many nodes is one finding."""

from __future__ import annotations

import importlib
import logging
import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from aligner.adapters.advice import advice_on
from aligner.causes import families
from aligner.causes.cause import PROVEN, Basis, Cause, Claim, Proof
from aligner.causes.context import Context
from aligner.causes.global_causes import find_global_causes
from aligner.causes.trial import NOTHING_LEFT, Held, Trial
from aligner.causes.unknown import Unknown
from aligner.causes.weight_cause import WeightCause
from aligner.operations.operation import Unsupported
from aligner.records.comparison import Finding
from aligner.records.dataclass import dataclass
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Evidence

for _module in pkgutil.iter_modules(families.__path__):
    importlib.import_module(f"{families.__name__}.{_module.name}")

LOG = logging.getLogger("aligner.causes")

_EXAMINED = 64
"""Culprits looked at: their weights are read, so a model with thousands stays a matter of seconds."""
_WORK = 1 << 33
"""Elements recomputed, all predictions together, after which no further culprit is examined: some twenty seconds."""
_SHOWN = 3
"""Findings kept of one culprit."""
_BENIGN_AFTER = 1
"""Culprits, upstream first: what is not proven of a later one ranks with what is not proven of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """One culprit, and what was proven of it, the best explanation first.

    ``likely``: differences that are written in the two models and could not be tried here, of a cause that was proven
    at another culprit.
    """

    culprit: Culprit
    proven: tuple[Claim, ...]
    likely: tuple[Claim, ...] = ()


def find_causes(
    context: Context, evidence: Mapping[str, Evidence] | None = None, examined: list[Examined] | None = None
) -> list[Finding]:
    """Findings about the guilty pairs, best first.

    ``evidence`` maps candidate values to the arrays of their local error; a culprit without is judged by its settings
    and weights alone, and nothing about it is proven. ``examined`` is filled with what the findings rest on.
    """
    graphs, guilty = context.graphs, context.guilty
    held: list[Held] = []
    looked: list[tuple[Culprit, list[Held]]] = []
    work, guessed = 0, False
    for place, item in enumerate(guilty[:_EXAMINED]):
        if work > _WORK:
            break
        culprit = Culprit(graphs, item, (evidence or {}).get(item.pair.candidate))
        culprit.order_guessed = guessed
        with np.errstate(all="ignore"):  # what is tried may well divide by zero
            found = _examine(culprit, context, place)
        best = [replace(one, order=order) for order, one in enumerate(_best(found))]
        held += best or [_nothing(culprit, context, place)]
        looked.append((culprit, found))
        work += culprit.work
        guessed |= culprit.reordered and any(one.proven and one.cause.resizes_axes for one in best[:1])
    whole = find_global_causes(context)
    own = _findings(_grouped(_covered(held)), [graph.framework for graph in graphs])
    if examined is not None:
        examined += _examined(looked)
    return own + whole if any(one.proven for one in held) else whole + own


def _examine(culprit: Culprit, context: Context, place: int) -> list[Held]:
    """What each cause has to say, if anything: what is written in the models first, of every cause.

    Where two written values explain all, nothing that was searched for can lead, and none of it is recomputed; where a
    difference that is no exact cause does (other weights), nothing that both models write alike.
    """
    trials: dict[type[Cause], Trial] = {kind: Trial(kind, culprit, context, place) for kind in Cause.registry}
    for step in (Trial.up_to_searched, Trial.further):
        held = [trial.best for trial in trials.values() if trial.best is not None]
        settled = any(one.settles for one in held)
        culprit.explained = settled or any(one.basis is Basis.WRITTEN and one.explained >= NOTHING_LEFT for one in held)
        for kind, trial in list(trials.items()):
            try:
                step(trial, settled=settled)
            except Unsupported:
                del trials[kind]
            except Exception:
                # a fault of ours: the cause at hand is left out, and the others still may be at work
                LOG.exception("the cause %s could not be tried at %s", kind.id, culprit.where)
                del trials[kind]
            settled = settled or (trial.best is not None and trial.best.settles)
    return [trial.best for trial in trials.values() if trial.best is not None]


def _examined(looked: Sequence[tuple[Culprit, list[Held]]]) -> list[Examined]:
    proven = [one for _, found in looked for one in found if one.proven]
    ids, whole = {one.cause.id for one in proven}, any(one.cause.covers_weights for one in proven)
    result = []
    for culprit, found in looked:
        ranked = [*_best(found), *sorted(found, key=lambda one: -one.explained)]
        claims = [one.claim for one in ranked if one.proven and not one.cause.benign]
        untried = [one for one in ranked if one.proof is None and one.claim.written]
        likely = [one.claim for one in untried if one.cause.id in ids or (whole and one.weighted)]
        result.append(Examined(culprit, _once(claims), _once(likely)))
    return result


def _once(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    return tuple(claim for place, claim in enumerate(claims) if claim not in claims[:place])


def _best(found: list[Held]) -> list[Held]:
    """Proven claims first, the better explanation first where it is clearly better."""
    proven = [one for one in found if one.proven]
    if not proven:
        return sorted(found, key=lambda one: (*one.rank[:5], one.proof is not None, -one.explained))[:_SHOWN]
    top = max(one.explained for one in proven)
    close = _close(proven, top)
    if any(one.claim.structural and one.explained >= NOTHING_LEFT for one in close):
        close = [one for one in close if one.claim.vague or one.basis is not Basis.FITTED]
    exact = [one for one in close if not (one.cause.general or one.claim.vague)]
    if exact:
        close = [one for one in close if not one.cause.general]
    if any(one.basis is Basis.WRITTEN and one.explained >= NOTHING_LEFT for one in exact):
        close = [one for one in close if one.basis is Basis.WRITTEN]
    if any(one.basis is Basis.WRITTEN and not one.cause.unspecific for one in exact):
        close = [one for one in close if not (one.cause.unspecific and one.claim.written)]
    if any(one.basis is Basis.WRITTEN and not one.claim.vague and one.explained >= NOTHING_LEFT for one in close):
        close = [one for one in close if not (one.cause.unspecific and one.basis is Basis.FITTED)]
    close.sort(key=lambda one: one.rank)
    if close[0].explained >= NOTHING_LEFT and close[0].evidence_class == "proven":
        # what explains as much of the same error is the same fault in other words, but for what the model is fed
        return close[:1] + [one for one in close[1:] if one.cause.outside][: _SHOWN - 1]
    rest = sorted((one for one in proven if one not in close and not one.cause.general), key=lambda one: -one.explained)
    return (close + (rest if top < NOTHING_LEFT else []))[:_SHOWN]


def _as_good(top: float) -> float:
    """Explanations that leave no more than ten times the residue of the best one count as equal, 2 % always do."""
    return min(0.98, 1 - 10 * (1 - top)) if top >= 0.98 else top - 0.02


def _close(proven: list[Held], top: float) -> list[Held]:
    """Those as good as the best one.

    Of what says only how numbers differ some is noise: what is written, says why, and leaves the noise that it said it
    would leave, is as good.
    """
    exact = max((one.explained for one in proven if not (one.claim.vague or one.cause.general)), default=top)

    def noisy(one: Held) -> bool:
        said = one.claim.written and one.claim.needed is not None
        return said and one.explained >= max(PROVEN * top, _as_good(exact))

    close = [one for one in proven if one.explained >= _as_good(top) or noisy(one)]
    return [one for one in close if not _falls_short(one, top)]


def _falls_short(one: Held, top: float) -> bool:
    """Whether what was searched for leaves more than rounding does, where another explanation does not."""
    return one.basis in {Basis.FITTED, Basis.BLIND} and 1 - one.explained > max(10 * (1 - top), one.floor)


def _nothing(culprit: Culprit, context: Context, place: int) -> Held:
    claim = next(Unknown().claims(culprit, context))
    weighted = bool(culprit.candidate.region.weights)
    return Held(Unknown, claim, None, place, culprit.where, culprit.source, weighted=weighted)


def _covered(held: list[Held]) -> list[Held]:
    """What is said of single layers is one finding with a proven cause that concerns the weights of the whole model."""
    whole = next((one for one in held if one.proven and one.cause.covers_weights), None)
    if whole is None:
        return held
    return [
        replace(one, cause=whole.cause)
        if (one.weighted or issubclass(one.cause, WeightCause)) and not one.proven and not one.cause.benign
        else one
        for one in held
    ]


def _grouped(held: list[Held]) -> list[list[Held]]:
    groups: dict[str, list[Held]] = {}
    for one in held:
        groups.setdefault(one.cause.id, []).append(one)
    proven_ids = {one.cause.id for one in held if one.proven}
    for identifier, group in groups.items():
        if identifier in proven_ids:
            group.sort(key=lambda one: (not one.proven, one.place))
    ranked = list(groups.values())
    ranked.sort(key=_rank)
    return ranked


def _rank(group: list[Held]) -> tuple[bool, bool, int, bool, int, Basis]:
    best = group[0]
    place = min(one.place for one in group)
    benign = best.cause.benign or best.cause is Unknown
    late = not best.proven or benign
    where = place if best.proven else min(place, _BENIGN_AFTER)
    order = best.order if best.proven else 0
    return (late, best.cause is Unknown, where, benign, order, best.basis)


def _fall(proof: Proof) -> str:
    if proof.after >= proof.before:  # it was not the finite ones that were wrong
        return "the elements agree that were infinite or not a number on one side alone"
    if math.isinf(proof.before):
        return f"the shapes agree and the error is {proof.after:.2g}"
    return f"the local error falls from {proof.before:.2g} to {proof.after:.2g}"


def _findings(groups: list[list[Held]], frameworks: Sequence[str]) -> list[Finding]:
    """One finding for each group; a first one that lies further down says that it leaves the first divergence open."""
    own = [_finding(group, frameworks) for group in groups]
    if groups and min(one.place for one in groups[0]) > 0:
        first = next((one.node for group in groups for one in group if one.place == 0), None)
        if first is not None:
            text = f"{own[0].evidence}; this lies further down: nothing is proven of the first divergence, {first}"
            own[0] = replace(own[0], evidence=text)
    return own


def _finding(group: list[Held], frameworks: Sequence[str]) -> Finding:
    best = group[0]
    others = len(dict.fromkeys(one.node for one in group)) - 1
    text = best.claim.evidence
    if best.proof is not None and best.proven and best.claim.change:
        text += f"; {best.claim.change} {_fall(best.proof)}"
    if best.source and best.source not in text:
        text += f" [{best.source}]"
    if others:
        text += f"; likewise at {others} other node{'s' if others > 1 else ''}"
    explained = round(best.explained, 6) if best.proven else None
    advice = best.claim.suggestion + (advice_on(best.cause.topic, frameworks) if best.cause.topic else "")
    return Finding.of(best.cause.id, best.node, best.evidence_class, text, advice, explained)


__all__ = ["Examined", "find_causes"]
