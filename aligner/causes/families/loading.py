"""Weights that were not loaded, or loaded from the wrong place."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from aligner.adapters.wording import Topic
from aligner.causes.context import Context
from aligner.causes.weight_cause import RELATED, WeightCause, arrays_of, coarser, eight_bit, misfolded, settled
from aligner.causes.weight_elsewhere import elsewhere, left_unread
from aligner.causes.weight_order import moved, row_factors, same_somewhere
from aligner.numerics import relations
from aligner.operations.kinds import MATRIX_LAYERS
from aligner.parameters.initialised import looks_initialised
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import differing
from aligner.regions.layers import LayerPair

_STRANGERS = 0.5
"""Correlation from which two weights have something in common: a quarter of their variance."""
_FEWEST = 16
"""Numbers from which a correlation says anything."""
_MOST = 0.5
"""Share of fresh weights among all from which the model was not loaded, rather than a layer of it: more than half."""
_ALL = 0.8
"""Share of the weighted layers from which a fault of weights concerns the whole model."""


def _stranger(pair: LayerPair, role: str, culprit: Culprit, *, sure: bool = True) -> str | None:
    """Words for a parameter that looks drawn by an initialiser and has nothing to do with the reference's.

    Not ``sure``: where every other layer of the model is wrong as well, a correlation that chance explains is enough.
    """
    arrays = arrays_of(pair, role)
    if arrays is None or same_somewhere(pair, role) or moved(pair, role, culprit):
        return None
    left, right = arrays
    alike = relations.correlation(left, right)
    fresh = looks_initialised(right)
    by_chance = right.ndim > 1 and right.size >= _FEWEST and abs(alike) < min(_STRANGERS, 3.0 / math.sqrt(right.size))
    if alike > _STRANGERS or not (fresh or (not sure and by_chance)):
        return None
    if role in {"bias", "shift", "mean", "b", "rb"} and not right.any() and _zeroed(pair, role, culprit):
        return None
    if pair.candidate.operation.kind == "norm" and role not in pair.candidate.operation.parameters:
        return f"it has no {role}, the reference's has one"
    return f"{role} correlates {alike:.2f} with the reference's" + (" and looks freshly initialised" if fresh else "")


def _zeroed(pair: LayerPair, role: str, culprit: Culprit) -> bool:
    """A bias of zeros beside matrices that are right was dropped, not left unloaded."""
    matrices = [name for name in ("kernel", "w", "r") if name in pair.roles]
    return role in {"bias", "b", "rb"} and bool(matrices) and all(settled(pair, name, culprit) for name in matrices)


def _weighted(context: Context) -> tuple[list[str], list[str]]:
    """Scopes or names of the weighted layers that are guilty of strange weights, and of those that are right."""
    bad: list[str] = []
    good: list[str] = []
    guilty = {id(item) for item in context.guilty}
    for item in context.measured:
        if not item.pair.candidate_region.weights or not item.pair.reference_region.weights:
            continue
        indices = item.pair.reference_region.nodes
        nodes = [context.graphs[0].nodes[i] for i in indices if context.graphs[0].nodes[i].weights]
        names = [node.scope or node.name for node in nodes]
        kinds = {node.kind for node in nodes}
        if not kinds & MATRIX_LAYERS:
            continue
        (bad if id(item) in guilty else good).extend(names[:1])
    return list(dict.fromkeys(bad)), [name for name in dict.fromkeys(good) if name not in bad]


class _Unloaded(WeightCause):
    whole: ClassVar[bool] = False
    advice: ClassVar[str] = "load the checkpoint before exporting, and check that nothing was skipped"
    topic: ClassVar[Topic | None] = "loaded-weights"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Fresh numbers, in the part of the model that this cause is about."""
        if self.whole and context.fresh_share < _MOST:
            return None  # other weights, and as trained as the reference's: another training, another release
        many = self.whole and len(_weighted(context)[0]) > 2
        words = None if misfolded(pair, role) else _stranger(pair, role, culprit, sure=not many)
        if not words or not self.extent(context) or left_unread(pair, role, culprit):
            return None
        return None if elsewhere(pair, role, culprit, context) else words

    def vague(self, pair: LayerPair) -> bool:
        """A normalisation of which some vectors were loaded is right but for the others: its own cause names those."""
        return pair.candidate.operation.kind == "norm" and len(differing(pair)) < len(pair.roles)

    @abstractmethod
    def extent(self, context: Context) -> bool:
        """Whether as much of the model is unloaded as this cause says."""


class WeightsNotLoaded(_Unloaded):
    """Nothing was loaded: a non-strict load of a nested dict."""

    id: ClassVar[str] = "weights-not-loaded"
    fix: ClassVar[str] = "load the checkpoint before exporting, and check that nothing was skipped"
    example: ClassVar[str] = "a checkpoint nested in params_ema"
    covers_weights: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    def extent(self, context: Context) -> bool:
        """All of it."""
        bad, good = _weighted(context)
        return len(bad) >= _ALL * (len(bad) + len(good))


class WeightsPrefixMismatch(_Unloaded):
    """One sub-tree was not loaded: its keys carry another prefix."""

    id: ClassVar[str] = "weights-prefix-mismatch"
    fix: ClassVar[str] = "strip or add the prefix of these keys"
    example: ClassVar[str] = "module. of DataParallel"

    def extent(self, context: Context) -> bool:
        """Two layers or more, which make up a sub-tree that holds no loaded one."""
        bad, good = _weighted(context)
        if len(bad) >= _ALL * (len(bad) + len(good)) or len(bad) < 2:
            return False
        prefix = _common(bad)
        return bool(prefix) and not any(name.startswith(prefix) for name in good)


class WeightsPartlyLoaded(_Unloaded):
    """Single layers were skipped: their shapes did not fit, or their keys were missing."""

    id: ClassVar[str] = "weights-partly-loaded"
    fix: ClassVar[str] = "check the keys and shapes that were skipped"
    example: ClassVar[str] = "a head of another number of classes"

    def extent(self, context: Context) -> bool:
        """Neither the whole nor a sub-tree."""
        return not WeightsNotLoaded().extent(context) and not WeightsPrefixMismatch().extent(context)


def _common(names: list[str]) -> str:
    parts = [name.replace("/", ".").split(".") for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


class WeightsWrongEntry(WeightCause):
    """Another entry of the same checkpoint: params instead of params_ema; every layer is a bit off."""

    id: ClassVar[str] = "weights-wrong-entry"
    fix: ClassVar[str] = "load the same entry of the checkpoint on both sides"
    example: ClassVar[str] = "params for params_ema"
    advice: ClassVar[str] = (
        "the checkpoint holds several sets of weights (params, params_ema …): load the same on both sides"
    )

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Related but different, in most layers."""
        arrays = arrays_of(pair, role)
        if arrays is None or role not in {"kernel", "w", "r", "table"} or coarser(*arrays) or misfolded(pair, role):
            return None
        if eight_bit(pair, role, culprit) or relations.one_factor(*arrays) or row_factors(pair, role, culprit):
            return None
        bad, good = _weighted(context)
        alike = relations.correlation(*arrays)
        if len(bad) < 2 or len(bad) < 0.5 * (len(bad) + len(good)) or alike < RELATED:
            return None
        apart = relations.gap(*arrays)
        return (
            f"{role} correlates {alike:.3f} with the reference's but differs by {apart:.1%}, as do "
            f"{len(bad)} of {len(bad) + len(good)} layers: the same model trained to another point"
        )


class WeightOfAnotherLayer(WeightCause):
    """Another key of the same checkpoint: two weights of one shape exchanged, or one given to two layers."""

    id: ClassVar[str] = "weights-wrong-entry"
    advice: ClassVar[str] = "give each layer its own weight: two of the same shape were taken for each other"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The very numbers of the reference's, of another place."""
        other = elsewhere(pair, role, culprit, context)
        return f"the {role} is not this layer's: it holds the numbers of the reference's {other}" if other else None
