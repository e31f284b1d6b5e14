"""Find the same parameter on both sides when every name differs.

A fingerprint holds sums that no transposition, reshape, flip or reordering of a weight's elements changes, so a match
says "the same numbers", not "the same layout". Batch normalisations that one side has folded into the layer before them
are folded here too, and compared as a weight of their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aligner.alignment.skeleton import Skeleton
from aligner.numerics.blocks import BLOCK, dot, total
from aligner.operations.kinds import LINEAR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aligner.records.graph import Node, Weight

EXACT = 1e-6
"""Relative difference of fingerprints up to which two weights are the same numbers (float32 folding order)."""
ROUNDED = 2e-3
"""… and up to which one is a lower-precision copy of the other (float16, bfloat16)."""
_SMALLEST = 4
_ENOUGH = 32
"""Elements from which rounded copies are looked for: among thousands of short vectors some are alike by chance."""
_ROUNDED_SUMS = 0.01
"""Relative difference of a sum by rounding each of its terms, times the root of their number."""
_FEW = 16
_TINY = 1e-30
"""Sums of squares below which float32 may have lost them."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Reordering-invariant numbers of one weight, float64."""

    size: int
    total: float
    magnitude: float
    energy: float
    low: float
    high: float

    @property
    def telling(self) -> bool:
        """Whether the numbers say anything: constants and tiny vectors match each other everywhere."""
        return self.size >= _SMALLEST and self.high > self.low

    def distance(self, other: Fingerprint) -> float:
        """Largest relative difference of the invariants; infinite when the sizes differ."""
        if self.size != other.size:
            return float("inf")
        scale = max(self.magnitude, other.magnitude, 1e-300)
        extent = max(abs(self.low), abs(self.high), 1e-300)
        return max(
            abs(self.total - other.total) / scale,
            abs(self.magnitude - other.magnitude) / scale,
            abs(self.energy - other.energy) / max(self.energy, other.energy, 1e-300) / 2,
            abs(self.low - other.low) / extent,
            abs(self.high - other.high) / extent,
        )

    @property
    def sums_within(self) -> float:
        """Relative difference of sums that rounding every element makes: it averages out over many elements."""
        return max(EXACT, _ROUNDED_SUMS / math.sqrt(self.size))

    def rounds_to(self, other: Fingerprint) -> bool:
        """Whether one may be a lower-precision copy of the other; too short ones cannot tell."""
        if self.size < _ENOUGH or self.distance(other) > ROUNDED:
            return False
        scale = max(self.magnitude, other.magnitude, 1e-300)
        gaps = (
            abs(self.total - other.total) / scale,
            abs(self.magnitude - other.magnitude) / scale,
            abs(self.energy - other.energy) / max(self.energy, other.energy, 1e-300) / 2,
        )
        return max(gaps) <= self.sums_within


def fingerprint(array: NDArray[np.generic]) -> Fingerprint | None:
    """The fingerprint of a numeric array; None where it has no finite numbers or is not numeric."""
    import numpy as np

    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        return None
    flat = np.asarray(array).reshape(-1)
    if flat.size == 0:
        return None
    plain, magnitude, energy, low, high = _sums(flat)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Fingerprint(size=int(flat.size), total=plain, magnitude=magnitude, energy=energy, low=low, high=high)


def _sums(flat: NDArray[np.generic]) -> tuple[float, float, float, float, float]:
    """Sums of the elements, their magnitudes and squares; least and greatest, infinite where a number is not finite."""
    import numpy as np

    plain = magnitude = energy = 0.0
    low, high = math.inf, -math.inf
    for start in range(0, flat.size, BLOCK):
        values = flat[start : start + BLOCK]
        if values.dtype != np.float32:
            values = values.astype(np.float64)
        least, most = float(values.min()), float(values.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            return 0.0, 0.0, 0.0, -math.inf, math.inf
        squares = dot(values, values)
        if not _TINY < squares < math.inf:
            values = values.astype(np.float64)
            squares = dot(values, values)
        low, high = min(low, least), max(high, most)
        plain += total(values)
        magnitude += total(np.abs(values))
        energy += squares
    return plain, magnitude, energy, low, high


def fingerprint_of(weight: Weight) -> Fingerprint | None:
    """The fingerprint of a weight's numbers, worked out once."""
    if "fingerprint" not in weight.memory:
        weight.memory["fingerprint"] = fingerprint(weight.values())
    found: Fingerprint | None = weight.memory["fingerprint"]
    return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight (or a folded one) and the nodes that use it."""

    name: str
    fingerprint: Fingerprint
    users: tuple[Node, ...]


def parameters(skeleton: Skeleton) -> list[Parameter]:
    """Every telling weight of a side that computing nodes use; weights are read one at a time."""
    users: dict[str, list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        for root in dict.fromkeys(skeleton.weight_roots(node)):
            users[root].append(node)
    found = []
    for name, nodes in users.items():
        weight = skeleton.graph.weights.get(name)
        if weight is None or _size(weight.shape) < _SMALLEST:
            continue
        print_ = fingerprint_of(weight)
        if print_ is not None and print_.telling:
            found.append(Parameter(name, print_, tuple(nodes)))
    return found + list(_folded(skeleton))


def _size(shape: Iterable[int]) -> int:
    total = 1
    for dim in shape:
        total *= dim
    return total


def _folded(skeleton: Skeleton) -> Iterable[Parameter]:
    """What a converter that folds batch normalisation would have stored for each layer followed by one."""
    import numpy as np

    weights = skeleton.graph.weights
    for node in skeleton.compute:
        if node.kind != "norm":
            continue
        data = skeleton.data_inputs(node)
        vectors = [weights[name] for name in skeleton.weight_roots(node) if name in weights]
        before = skeleton.producer.get(skeleton.root(data[0])) if len(data) == 1 else None
        if before is None or before.kind not in LINEAR or len(vectors) < 4:
            continue
        roots = [weights[name] for name in skeleton.weight_roots(before) if name in weights]
        if not roots:
            continue
        kernel = roots[0].values().astype(np.float64)
        gamma, _, _, variance = (vector.values().astype(np.float64).reshape(-1) for vector in vectors[:4])
        epsilon = node.attributes.get("epsilon")
        scale = gamma / np.sqrt(np.abs(variance) + (float(epsilon) if isinstance(epsilon, (int, float)) else 1e-5))
        axes = [axis for axis, dim in enumerate(kernel.shape) if dim == scale.size]
        if not axes:
            continue
        axis = 1 if before.kind == "conv_transpose" and 1 in axes else axes[0]
        shape = [1] * kernel.ndim
        shape[axis] = scale.size
        print_ = fingerprint(kernel * scale.reshape(shape))
        if print_ is not None and print_.telling:
            yield Parameter(f"{roots[0].name} × {node.name}", print_, (before,))


def match(reference: list[Parameter], candidate: list[Parameter]) -> list[tuple[Parameter, Parameter, float]]:
    """Parameters that are the same numbers and whose match is the only one; distance says how same.

    Rounded copies count where most of what has no exact one has a rounded one: a model is stored in lower precision
    as a whole or nearly so, while among many weights of one size some are alike by chance.
    """
    by_size = {size: _Shelf(items) for size, items in _grouped(candidate).items()}
    taken: dict[str, list[tuple[Parameter, float]]] = defaultdict(list)
    open_, rounded = 0, 0
    for parameter in reference:
        shelf = by_size.get(parameter.fingerprint.size)
        near = shelf.nearest(parameter.fingerprint) if shelf is not None else None
        if near is not None:
            taken[near[0].name].append((parameter, near[1]))
        if shelf is not None and (near is None or near[1] > EXACT):
            open_ += 1
            rounded += near is not None
    by_name = {parameter.name: parameter for parameter in candidate}
    matched: list[tuple[Parameter, Parameter, float]] = []
    for name, claims in taken.items():
        claims.sort(key=lambda claim: claim[1])
        if len(claims) == 1 or claims[0][1] < EXACT <= claims[1][1]:
            matched.append((claims[0][0], by_name[name], claims[0][1]))
    return [found for found in matched if found[2] <= EXACT or 2 * rounded > open_]


def _grouped(items: list[Parameter]) -> dict[int, list[Parameter]]:
    groups: dict[int, list[Parameter]] = defaultdict(list)
    for item in items:
        groups[item.fingerprint.size].append(item)
    return groups


class _Shelf:
    """Parameters of one size, sorted by their smallest element so that few have to be looked at."""

    def __init__(self, parameters: list[Parameter]) -> None:
        import numpy as np

        self._parameters = sorted(parameters, key=lambda parameter: parameter.fingerprint.low)
        prints = [parameter.fingerprint for parameter in self._parameters]
        self._low = np.array([print_.low for print_ in prints])
        self._energy = np.array([print_.energy for print_ in prints])

    def nearest(self, wanted: Fingerprint) -> tuple[Parameter, float] | None:
        """The parameter with the same numbers, and how far off; None where there is none, or several."""
        import numpy as np

        reach = ROUNDED * max(abs(wanted.low), abs(wanted.high), 1e-300)
        start, stop = np.searchsorted(self._low, [wanted.low - reach, wanted.low + reach], side="left")
        near = np.abs(self._energy[start:stop] - wanted.energy) <= 4 * ROUNDED * wanted.energy
        if int(near.sum()) > _FEW:
            near &= np.abs(self._energy[start:stop] - wanted.energy) <= 4 * wanted.sums_within * wanted.energy
        options = [self._parameters[place] for place in np.flatnonzero(near) + start]
        ranked = sorted(
            ((other, wanted.distance(other.fingerprint)) for other in options), key=lambda option: option[1]
        )
        if not ranked or not (ranked[0][1] <= EXACT or wanted.rounds_to(ranked[0][0].fingerprint)):
            return None
        if len(ranked) > 1 and ranked[1][1] <= max(EXACT, 4 * ranked[0][1]):
            return None  # several equal weights: structure has to tell them apart
        return ranked[0]
