"""Causes that lie in the numbers a node was given: never loaded, changed, moved, stored coarser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aligner.diagnosis.scene import Scene
from aligner.records.comparison import Finding
from aligner.records.graph import Weight

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Difference = Literal["same", "moved", "coarser", "changed", "fresh"]

_COARSER = 4e-3
_RANDOM = 0.5


@dataclass(frozen=True, slots=True)
class WeightDifference:
    """One reference weight against the candidate's weight of the same size in the same region."""

    reference: Weight
    candidate: Weight
    kind: Difference
    relative: float
    """‖candidate − reference‖ / ‖reference‖ after sorting both where the layouts differ."""
    correlation: float


def weight_differences(scene: Scene) -> Iterator[WeightDifference]:
    """Compare the weights of a region, largest first; equal-sized ones in operand order."""
    free = list(scene.candidate_weights)
    for weight in sorted(scene.reference_weights, key=lambda w: -math.prod(w.shape)):
        size = math.prod(weight.shape)
        partner = next((other for other in free if math.prod(other.shape) == size), None)
        if partner is None or size < 2:
            continue
        free.remove(partner)
        found = _compare(weight, partner)
        if found is not None:
            yield found


def _compare(reference: Weight, candidate: Weight) -> WeightDifference | None:
    import numpy as np

    left, right = (np.asarray(w.values(), dtype=np.float64) for w in (reference, candidate))
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return None
    norm = float(np.linalg.norm(left)) or 1.0
    sorted_gap = float(np.linalg.norm(np.sort(left, axis=None) - np.sort(right, axis=None))) / norm
    gap = float(np.linalg.norm(left.reshape(-1) - right.reshape(-1))) / norm
    best = min([gap, *_layout_gaps(left, right)])
    correlation = _correlation(left, right)
    if best <= 1e-6:
        return WeightDifference(reference, candidate, "same", best, 1.0)
    if sorted_gap <= 1e-6:
        return WeightDifference(reference, candidate, "moved", gap, correlation)
    if best <= _COARSER:
        return WeightDifference(reference, candidate, "coarser", best, 1.0)
    if correlation < _RANDOM and looks_initialised(right, candidate.shape):
        return WeightDifference(reference, candidate, "fresh", gap, correlation)
    return WeightDifference(reference, candidate, "changed", best, correlation)


def _layout_gaps(left: NDArray[np.float64], right: NDArray[np.float64]) -> Iterator[float]:
    """Distances under the transpositions that converters make when they change layout."""
    from itertools import permutations

    import numpy as np

    if left.shape == right.shape or left.ndim != right.ndim or left.ndim > 5:
        return
    norm = float(np.linalg.norm(left)) or 1.0
    for axes in permutations(range(left.ndim)):
        if tuple(left.shape[a] for a in axes) == right.shape:
            yield float(np.linalg.norm(left.transpose(axes) - right)) / norm


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    import numpy as np

    a, b = left.reshape(-1) - left.mean(), right.reshape(-1) - right.mean()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms > 0 else 0.0


def looks_initialised(array: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether numbers look drawn by a framework's initialiser: all 0 or 1, or uniform or normal about zero.

    A uniform draw on ±a has kurtosis 1.8 and a largest magnitude close to a; a normal one has kurtosis 3; trained
    kernels have heavier tails. Small tensors cannot tell and count as not initialised unless constant.
    """
    import numpy as np

    flat = array.reshape(-1)
    if np.all(flat == 0) or np.all(flat == 1):
        return True
    if flat.size < 64 or len(shape) < 2:
        return False
    spread = float(flat.std())
    if spread == 0 or abs(float(flat.mean())) > 4 * spread / math.sqrt(flat.size):
        return False
    kurtosis = float(np.mean(((flat - flat.mean()) / spread) ** 4))
    sampling = 4 * math.sqrt(24 / flat.size)
    uniform = abs(kurtosis - 1.8) < max(0.1, sampling / 2) and float(np.abs(flat).max()) <= 1.02 * spread * math.sqrt(3)
    normal = abs(kurtosis - 3.0) < max(0.2, sampling)
    return uniform or normal


def weight_findings(scene: Scene) -> Iterator[Finding]:
    """What the weights of one culprit say."""
    differences = [found for found in weight_differences(scene) if found.kind != "same"]
    by_kind = {found.kind: found for found in reversed(differences)}
    where = scene.candidate_node.name if scene.candidate_node else scene.name
    for kind in ("fresh", "moved", "coarser", "changed"):
        if kind in by_kind:
            yield _finding(kind, by_kind[kind], where)
            return


def _finding(kind: str, found: WeightDifference, where: str) -> Finding:
    names = f"{found.candidate.name} against the reference's {found.reference.name}"
    if kind == "fresh":
        return Finding(
            "weights-not-loaded",
            where,
            0.9,
            f"{names}: correlation {found.correlation:.2f}, and the numbers look freshly initialised",
            None,
            "load the checkpoint before exporting, and check what load_state_dict(strict=False) returns: "
            "a nested checkpoint (params_ema, state_dict …) must be unwrapped first",
        )
    if kind == "moved":
        return Finding(
            "weights-transposed" if len(found.candidate.shape) == 2 else "weights-permuted",
            where,
            0.9,
            f"{names}: the same numbers in another order",
            None,
            "store the weight in the axis order the operation expects",
        )
    if kind == "coarser":
        return Finding(
            "weights-reduced-precision",
            where,
            0.6,
            f"{names}: relative difference {found.relative:.1e}, as a lower-precision copy has",
            None,
            "keep this weight in float32, or accept the loss with a looser tolerance",
        )
    return Finding(
        "weights-changed",
        where,
        0.7,
        f"{names}: relative difference {found.relative:.2g}, correlation {found.correlation:.3f}",
        None,
        "export from the checkpoint the reference uses",
    )
