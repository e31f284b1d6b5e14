"""What all causes in weights share: which parameters differ, in which simple ways, and the proof."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np

from aligner.causes.cause import PROVEN, Cause, Claim, prove
from aligner.causes.context import Context
from aligner.numerics import relations
from aligner.numerics.rounding import UNITS
from aligner.operations.operation import Operation
from aligner.parameters.folding import output_axis, output_factors, scaled
from aligner.records.array import Array
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import COARSE_BIAS, MATRICES, differing, same_numbers_in, step_of
from aligner.regions.layers import LayerPair, layer_pairs, with_sorted_gates

RELATED = 0.9
"""Correlation from which two parameters are versions of one."""
_COARSER = 4e-3
"""Distance of a copy in fewer bits: bfloat16's unit, 2⁻⁸ (``parameters.relation.CAST``)."""
_STEPS = 0.6
"""Root mean square of rounding, in steps: 0.29 to the nearest, more where it is learnt from data."""
_OF_ROUNDING = 0.05
"""Share of a difference that is left when rounding explains it."""


class WeightCause(Cause):
    """Weights that differ; the proof puts the reference's into the candidate's layer."""

    advice: ClassVar[str] = "export from the checkpoint the reference uses"
    shown: ClassVar[str] = "The reference's weights are put into the candidate's layer."

    @abstractmethod
    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """What is wrong with this parameter, None when it is not this cause."""

    needs_error: ClassVar[bool] = False

    def vague(self, pair: LayerPair) -> bool:  # noqa: ARG002
        """Whether the words say how numbers differ and not why; a cause that says what was wrong comes first."""
        return False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The first parameter of the region that this cause fits."""
        for pair in layer_pairs(culprit):
            fitting = {role: self.describe(pair, role, culprit, context) for role in differing(pair)}
            words = {role: text for role, text in fitting.items() if text}
            claim = self._claim(culprit, pair, words) if words else None
            if claim is not None:
                yield claim

    def _claim(self, culprit: Culprit, pair: LayerPair, words: dict[str, str]) -> Claim | None:
        """None where the error is gone without these parameters being put right, and is not when they alone are."""
        wrong = [role for role in differing(pair) if role in pair.reference.parameters]
        node = pair.candidate.node
        read = [weight for name in node.inputs if name and (weight := culprit.candidate.stored(name)) is not None]
        read += [culprit.candidate.graph.weights[name] for name in node.weights]
        read.sort(key=lambda weight: -len(weight.shape))  # kernels before biases, whatever the order of the operands
        names = list(dict.fromkeys(weight.name for weight in read))[:2]
        details = ", ".join(filter(None, (*names, pair.candidate.cut)))
        where = f"{node.name} ({details})" if details else node.name
        # all are put right at once, for one mistake may be behind them; that tells nothing of these where others do
        own = [role for role in wrong if role in words]
        idle = _suffices(culprit, pair, [role for role in wrong if role not in words])
        if idle and not _suffices(culprit, pair, own):
            return None
        # what else differs may be meant so: a kernel that takes back the factor of what it reads
        if own and own != wrong and not _suffices(culprit, pair, wrong) and _suffices(culprit, pair, own):
            wrong = own
        return Claim(
            f"{where}: {'; '.join(words.values())}",
            self.advice,
            "with the reference's weights in its place",
            _put_right(culprit, pair, wrong),
            node=node.name,
            written=not idle,
            vague=idle or self.vague(pair),
        )


def _put_right(culprit: Culprit, pair: LayerPair, roles: list[str]) -> Callable[[], Array | None]:
    right = pair.candidate.bare({role: pair.reference.parameters[role] for role in roles})
    return culprit.prediction(culprit.candidate, pair.candidate.node, lambda operation: _given(operation, right))


def _suffices(culprit: Culprit, pair: LayerPair, roles: list[str]) -> bool:
    """Whether the error is gone when these parameters alone are the reference's."""
    return bool(roles) and explained_by(culprit, pair, roles) >= PROVEN


def explained_by(culprit: Culprit, pair: LayerPair, roles: list[str]) -> float:
    """The share of the error that is gone when these parameters are the reference's."""
    proof = prove(culprit, Claim("", "", predict=_put_right(culprit, pair, roles), side=1))
    return proof.explained if proof is not None else 0.0


def _given(operation: Operation, right: dict[str, Array]) -> Operation:
    """The operation with other parameters; those of cells come with their gates sorted."""
    if operation.kind == "recurrent":
        operation = with_sorted_gates(operation)
    return operation.with_parameters(**right)


def arrays_of(pair: LayerPair, role: str) -> tuple[Array, Array] | None:
    left, right = pair.reference.parameters.get(role), pair.candidate.parameters.get(role)
    if left is None or right is None or left.size != right.size:
        return None
    return left, right if right.shape == left.shape else right.reshape(left.shape) if left.ndim == 1 else right


def versions(pair: LayerPair, role: str) -> list[tuple[Array, Array]]:
    """A parameter of both sides: with what follows the layer folded in, then as it was before that."""
    found = [] if (arrays := arrays_of(pair, role)) is None else [arrays]
    for layer in (pair.reference, pair.candidate):
        if layer.scale is None and layer.added is None:
            continue
        left, right = layer.bare(pair.reference.parameters), layer.bare(pair.candidate.parameters)
        if role in left and role in right and left[role].shape == right[role].shape:
            found.append((left[role], right[role]))
    return found


def as_stored(left: Array, right: Array) -> tuple[Array, Array]:
    """Both in the precision of the one that is stored in fewer bits of a float."""
    from aligner.operations.kernels.activation import to_bfloat16

    for round_to in (relations.to_half, to_bfloat16):
        rounded = [round_to(side.astype(np.float32)) for side in (left, right)]
        if any(np.array_equal(*pair) for pair in zip(rounded, (left, right), strict=True)):
            return rounded[0], rounded[1]
    return left, right


def allowance(pair: LayerPair, role: str, culprit: Culprit) -> float:
    """The gap between two copies of a parameter that storing one of them in few bits explains."""
    step = step_of(culprit, pair)
    if step is None:
        return relations.SAME
    if role not in MATRICES:
        return COARSE_BIAS
    left = np.asarray(pair.reference.parameters[role], np.float64)
    steps = np.broadcast_to(step, left.shape) if step.ndim == left.ndim else step.max()
    return _STEPS * float(np.sqrt(np.mean(np.square(steps)))) / max(float(np.sqrt(np.mean(np.square(left)))), 1e-30)


def settled(pair: LayerPair, role: str, culprit: Culprit) -> bool:
    """Whether both sides hold the same numbers, as far as few bits can hold them."""
    arrays = arrays_of(pair, role)
    return arrays is not None and relations.gap(*arrays) <= allowance(pair, role, culprit)


def coarser(left: Array, right: Array) -> str | None:
    """Words for a lower-precision copy."""
    from aligner.operations.kernels.activation import to_bfloat16

    apart = relations.gap(left, right)
    if apart > _COARSER:
        return None
    plain = right.astype(np.float32)
    for word, round_to in (("float16", relations.to_half), ("bfloat16", to_bfloat16)):
        # cut off, numbers lose two units at most, and two roundings seldom that
        if relations.SAME / 4 < apart <= 2 * UNITS[word] and np.array_equal(round_to(plain), plain):
            return f"a {word} copy of"
    for word, round_to in (("float16", relations.to_half), ("bfloat16", to_bfloat16)):
        if apart > relations.SAME and relations.gap(round_to(left.astype(np.float32)), right) <= _OF_ROUNDING * apart:
            return f"a {word} copy of"
    return None


def eight_bit(pair: LayerPair, role: str, culprit: Culprit) -> str | None:
    """Words for a copy on a grid of at most 256 levels, declared as one or seen to be one."""
    if role not in MATRICES:
        return None
    declared = any(
        culprit.candidate.graph.weights[n].quantization is not None for n in culprit.candidate.region.weights
    )
    axis = output_axis(pair.candidate.operation, pair.candidate.parameters[role]) or 0
    most = allowance(pair, role, culprit) if step_of(culprit, pair) is not None else math.inf
    for left, right in versions(pair, role):
        if relations.gap(left, right) > most:
            continue
        plain = relations.on_grid(right) or relations.grid_by_channel(right, axis)
        if not (declared or plain or relations.rounded_to_grid(left, right)):
            continue
        if not relations.on_grid(left) and relations.correlation(left, right) >= RELATED:
            return f"the {role} is an eight-bit copy, {relations.gap(left, right):.1%} off"
    return None


def misfolded(pair: LayerPair, role: str) -> str | None:
    """Words for a normalisation that was folded wrongly, or folded with other numbers than the reference's."""
    return folded_wrongly(pair, role) or _folded_otherwise(pair, role)


def folded_wrongly(pair: LayerPair, role: str) -> str | None:
    """Words for a folding that is wrong itself: left out, twice, inverted, along another axis."""
    raw, scale = pair.reference.raw, pair.reference.scale
    arrays = arrays_of(pair, role)
    if role != "kernel" or raw is None or scale is None or arrays is None or arrays[1].shape != raw.shape:
        return None
    axis = output_axis(pair.reference.operation, raw) or 0
    options = [
        ("left out", raw),
        ("applied twice", scaled(raw, scale * scale, axis)),
        ("inverted", scaled(raw, 1 / scale, axis)),
    ]
    options += [
        (f"applied along axis {other}", scaled(raw, scale, other))
        for other in range(raw.ndim)
        if other != axis and raw.shape[other] == scale.size
    ]
    for words, kernel in options:
        if relations.gap(kernel, arrays[1]) <= 1e-5:
            return f"the normalisation's scale was {words} when it was folded into the kernel"
    return None


def _folded_otherwise(pair: LayerPair, role: str) -> str | None:
    """A fold with other statistics: the kernel is right but for a number for each output, or the bias alone is not."""
    arrays = arrays_of(pair, role)
    if arrays is None:
        return None
    raw = pair.reference.raw
    if role == "bias" and raw is not None:
        same = "kernel" in pair.roles and same_numbers_in(pair, "kernel")
        return "the bias was not folded as the kernel was" if same and arrays[1].any() else None
    if role != "kernel" or (raw is not None and pair.candidate.raw is not None):
        return None
    left, right = arrays
    factors = _factors(left, right, output_axis(pair.reference.operation, left) or 0)
    if factors is None:
        return None
    if raw is not None:
        return "each output's kernel is the unfolded one times a number that is not the normalisation's scale"
    least, most = min(factors), max(factors)
    return (
        f"each output's kernel is the reference's times a number of its own, {least:.4g} to {most:.4g}: a norm "
        "was folded with another epsilon, other statistics or another scale"
    )


def _factors(left: Array, right: Array, axis: int) -> list[float] | None:
    """What each output's kernel is multiplied by; None where that is not how the two differ, or is one for most."""
    factors = output_factors(left, right, axis)
    if factors is None or factors.size < 2:
        return None
    usual = float(np.median(factors))
    own = np.abs(factors - usual) > 1e-6 * abs(usual)
    return [float(factor) for factor in factors] if own.mean() > 0.5 else None
