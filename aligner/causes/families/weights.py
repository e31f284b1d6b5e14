"""Causes that lie in the numbers a layer was given: moved, folded wrongly, stored coarser, changed."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from aligner.causes.constant_operands import normalises
from aligner.causes.context import Context
from aligner.causes.weight_cause import (
    WeightCause,
    allowance,
    arrays_of,
    coarser,
    eight_bit,
    folded_wrongly,
    misfolded,
    settled,
    versions,
)
from aligner.causes.weight_order import moved, same_somewhere
from aligner.numerics import relations
from aligner.operations.settings import Recurrent
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import differing
from aligner.regions.layers import LayerPair

_ROUNDING = 1e-6
"""Share of a weight's largest number within which folding in float32 moves others; such are not counted as off."""
_UNRELATED = 0.5
"""Correlation below which two weights share less than a quarter of their variance."""
_ALIKE = 0.995
"""Correlation from which on it says no more than the distance does."""


class WeightsTransposed(WeightCause):
    """Inputs and outputs of a square matrix or kernel exchanged."""

    id: ClassVar[str] = "weights-transposed"
    fix: ClassVar[str] = "store the weight in the axis order the operation expects"
    example: ClassVar[str] = "a square matrix not transposed"
    advice: ClassVar[str] = fix

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The kernel is the reference's, transposed."""
        move = moved(pair, role, culprit)
        return f"the {role} is the reference's with {move}" if move and "inputs and outputs" in move else None


class WeightsPermuted(WeightCause):
    """The same numbers in another order: flipped kernels, shuffled channels or groups, swapped height and width."""

    id: ClassVar[str] = "weights-permuted"
    fix: ClassVar[str] = "store the weight in the order the operation expects"
    example: ClassVar[str] = "kernels flipped; height and width exchanged"
    advice: ClassVar[str] = fix

    def vague(self, pair: LayerPair) -> bool:
        """That numbers stand elsewhere does not say why: gates, directions or channels in another order do."""
        return True

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The kernel is the reference's, moved in any other way."""
        move = moved(pair, role, culprit)
        if (move is None and not same_somewhere(pair, role)) or (move and "inputs and outputs" in move):
            return None
        if pair.candidate.operation.kind == "recurrent" and _by_gates(pair, role):
            return None
        return f"the {role} is the reference's with {move}" if move else f"the {role} holds the same numbers elsewhere"


def _by_gates(pair: LayerPair, role: str) -> bool:
    """Whether the rows are only moved a whole gate at a time."""
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    gates = len(pair.candidate.operation.read(Recurrent).gates)
    order = relations.permutation(left, right, 1)
    if order is None:
        return False
    hidden = len(order) // gates
    blocks = [order[k * hidden : (k + 1) * hidden] for k in range(gates)]
    return all(list(block) == list(range(block[0], block[0] + hidden)) for block in blocks)


class WeightsReducedPrecision(WeightCause):
    """Stored in float16 or bfloat16 and read back."""

    id: ClassVar[str] = "weights-reduced-precision"
    fix: ClassVar[str] = "keep this weight in float32, or accept the loss"
    example: ClassVar[str] = "weights saved in float16"
    advice: ClassVar[str] = "keep this weight in float32, or accept the loss with a looser tolerance"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """All of it lies on the coarser grid, and nothing else differs by more than that."""
        words = _copied(pair, role) if all(_copied(pair, other) for other in differing(pair)) else None
        return f"the {role} is {words} the reference's" if words else None


def _copied(pair: LayerPair, role: str) -> str | None:
    return next((found for arrays in versions(pair, role) if (found := coarser(*arrays))), None)


class WeightsQuantized(WeightCause):
    """Stored in eight bits or fewer."""

    id: ClassVar[str] = "weights-quantized"
    fix: ClassVar[str] = "quantise per channel, leave this layer in float, or accept the loss"
    example: ClassVar[str] = "eight-bit weights in a file named float"
    advice: ClassVar[str] = (
        "quantise per channel, leave this layer in float, or accept the loss with a looser tolerance"
    )

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Few levels, close to the reference's numbers."""
        return eight_bit(pair, role, culprit)


class WeightsBatchNormFold(WeightCause):
    """A batch normalisation folded along the wrong axis, twice, or not at all."""

    id: ClassVar[str] = "weights-bn-fold"
    fix: ClassVar[str] = "fold once, along the output channels"
    example: ClassVar[str] = "a scale folded along the input channels of a transposed convolution"
    advice: ClassVar[str] = (
        "fold once, along the output channels: scale = γ / √(variance + ε), kernel · scale, (bias − mean) · scale + β"
    )

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The candidate's numbers follow from the reference's by another folding."""
        folded = pair.reference.taken
        if folded and not normalises(culprit.reference, folded):
            return None  # a factor of the model's own, whose numbers say nothing about a normalisation
        return misfolded(pair, role)

    def vague(self, pair: LayerPair) -> bool:
        """A folding that is right and was given wrong numbers is the normalisation's fault."""
        return not any(folded_wrongly(pair, role) for role in differing(pair))


class WeightsBiasMissing(WeightCause):
    """The bias dropped, doubled or negated; the kernel is right."""

    id: ClassVar[str] = "weights-bias-missing"
    advice: ClassVar[str] = "carry the bias over, once"

    def vague(self, pair: LayerPair) -> bool:
        """The shift of a normalisation belongs to what it normalises with."""
        return pair.candidate.operation.kind == "norm"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Zeros, nothing, or a multiple of the reference's."""
        wrong = [name for name in differing(pair) if not settled(pair, name, culprit)]
        if role not in {"bias", "shift", "b", "rb"} or {"kernel", "w", "r", "scale"} & set(wrong):
            return None
        if pair.candidate.parameters.get(role) is None:
            return f"the {role} is missing; the reference's is not"
        within = max(1e-5, allowance(pair, role, culprit))
        for left, right in versions(pair, role):
            if not right.any() and left.any():
                return f"the {role} is all zeros; the reference's is not"
            for words, factor in (("twice", 2.0), ("the negative of", -1.0)):
                if relations.gap(left.reshape(-1) * factor, right.reshape(-1)) <= within:
                    return f"the {role} is {words} the reference's"
        return None


class WeightsSharedEdited(WeightCause):
    """A weight that two layers share was changed for one of its uses, or once for each."""

    id: ClassVar[str] = "weights-shared-edited"
    fix: ClassVar[str] = "copy a shared weight before editing it for one of its uses"
    example: ClassVar[str] = "a tied embedding transposed in place"
    advice: ClassVar[str] = "copy a shared weight before editing it for one of its uses (folding, transposing)"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The reference uses this weight elsewhere, where the candidate's is right or was edited as well."""
        if role not in {"kernel", "w", "table"}:
            return None
        size = pair.reference.parameters[role].size  # beside it zeros may stand that many layers have for a bias
        own = [name for name in pair.reference.node.weights if _size(culprit.graphs[0], name) == size]
        shared = [name for name in own if len(_users(culprit, 0, name)) > 1]
        if not shared:
            return None
        others = [index for name in shared for index in _users(culprit, 0, name) if index != pair.reference.node.index]
        fine = [m for m in context.measured if set(m.pair.reference_region.nodes) & set(others)]
        right = [m for m in fine if context.verdicts.get(m.pair.candidate) in {"aligned", "inherited"}]
        edited = [m for m in fine if context.verdicts.get(m.pair.candidate) == "introduced"]
        if not right and not edited:
            return None
        return (
            f"{shared[0]} is used {len(others) + 1} times in the reference, and the candidate is "
            f"{'right at the other use' if right else 'wrong at every use'}"
        )


def _size(graph: Graph, name: str) -> int | None:
    return math.prod(graph.weights[name].shape) if name in graph.weights else None


def _users(culprit: Culprit, side: int, name: str) -> list[int]:
    return [node.index for node in culprit.graphs[side].readers(name)]


class WeightsChanged(WeightCause):
    """Other numbers, with no simpler word for how."""

    id: ClassVar[str] = "weights-changed"
    fix: ClassVar[str] = "export from the weights the reference uses"
    example: ClassVar[str] = "an export older than the checkpoint"
    general: ClassVar[bool] = True

    def vague(self, pair: LayerPair) -> bool:
        """By definition."""
        return True

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Whatever differs."""
        arrays = arrays_of(pair, role)
        if arrays is None or arrays[0].shape != arrays[1].shape:
            return None
        return f"the {role} {_apart(*arrays)}"


def _apart(left: Array, right: Array) -> str:
    """A multiple of the reference's, or how far off as a whole, in how many places, and where most."""
    gap = relations.gap(left, right)
    a, b = (side.reshape(-1).astype(np.float64) for side in (left, right))
    energy = float(a @ a)
    factor = float(a @ b) / energy if energy else 0.0
    if factor and a.size > 1 and relations.gap(a * factor, b) <= relations.SAME:
        return f"is the reference's times {factor:.6g}"
    with np.errstate(all="ignore"):
        off = np.abs(b - a)
        beyond = int(np.count_nonzero(~(off <= _ROUNDING * np.abs(a).max())))
        alike = relations.correlation(left, right) if a.size > 1 else 1.0
    worst = int(off.argmax())
    words = f"is off by {gap:.2g} of its norm"
    if a.size > 1:
        words += f" in {'all' if beyond == a.size else f'{beyond:,} of'} {a.size:,} elements"
    if alike < _ALIKE:
        words += f", correlation {alike:.2f}"
    if alike < _UNRELATED:
        return words  # other numbers altogether: none of them is worse than another
    place = ", ".join(str(int(at)) for at in np.unravel_index(worst, left.shape))
    return f"{words}, most at [{place}]: {told_apart(float(a[worst]), float(b[worst]))}"


def told_apart(left: float, right: float) -> str:
    """Two numbers with as many digits as it takes to see where they differ, and one more."""
    for digits in range(3, 17):
        if f"{left:.{digits}g}" != f"{right:.{digits}g}":
            return f"{left:.{digits + 1}g} → {right:.{digits + 1}g}"
    return f"{left:.4g} → {right:.4g}"
