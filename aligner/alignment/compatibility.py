"""Which kinds of node, and which tensors, may answer each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import AFFINE, INVERSES
from aligner.parameters.fingerprint import fingerprint_of
from aligner.records.alignment import Sketch
from aligner.records.dtypes import is_floating
from aligner.records.graph import Node, Weight

_LONG = {"eq": "equal", "ne": "notequal", "gt": "greater", "lt": "less", "ge": "greaterequal", "le": "lessequal"} | {
    "greaterorequal": "greaterequal",
    "lessorequal": "lessequal",
}
"""Comparisons by their short names."""

SAME_TENSOR = 1e-3
"""Relative difference of sketches up to which two tensors are taken for the same one: rounding of a deep network."""


SAME_FEW = 1e-5
"""… and where a handful of elements agrees by chance more easily."""


def same_word(reference: str, candidate: str) -> bool:
    """Whether two frameworks' names of an operation are one word: "aten::rsqrt", "RSQRT", "Rsqrt"."""
    words = [op.rpartition("::")[2].replace("_", "").lower() for op in (reference, candidate)]
    return _LONG.get(words[0], words[0]) == _LONG.get(words[1], words[1])


def agree(reference: Sketch | None, candidate: Sketch | None, within: float | None = None) -> bool | None:
    """Whether two tensors look like the same one up to order; None where the sketches cannot tell.

    ``within`` replaces the relative difference that rounding and few elements allow.
    """
    if reference is None or candidate is None:
        return None
    gap = distance(reference, candidate)
    if gap is None:
        return None
    return reference.repeats_as(candidate) and gap <= (within or (SAME_TENSOR if reference.size >= _MANY else SAME_FEW))


def are_one_number(reference: Sketch | None, candidate: Sketch | None) -> bool:
    """Whether two tensors hold one number alone, and the same: little for a tensor inside, enough for an output."""
    if reference is None or candidate is None or reference.size != candidate.size:
        return False
    one, other = reference.min, candidate.min
    alone = one == reference.max and other == candidate.max
    return bool(alone and one and abs(one - other) <= SAME_FEW * abs(one))


def distance(reference: Sketch | None, candidate: Sketch | None) -> float | None:
    """How far apart two sketches are, relative to the reference: its mean, spread and ends; None if incomparable."""
    if reference is None or candidate is None:
        return None
    if reference.shape != candidate.shape and reference.size != candidate.size:
        return None
    reference, candidate = reference.core, candidate.core
    low, high, rms = reference.min, reference.max, reference.rms
    if not (reference.finite and candidate.finite) or low == high:
        return None
    scale, extent = max(rms, 1e-30), 2 * max(abs(low), abs(high), 1e-30)
    return max(
        abs(rms - candidate.rms) / scale,
        abs(reference.mean - candidate.mean) / scale,
        abs(low - candidate.min) / extent,
        abs(high - candidate.max) / extent,
    )


def nearest(distances: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """Which row answers which column, where every pair is clearly nearer than whatever else could be made of them.

    Else none. A tensor that is further off than zeros would be says nothing.
    """
    if not distances or len(distances) != len(distances[0]) or any(None in row for row in distances):
        return []
    known = [[float(one or 0) for one in row] for row in distances]
    pairs = [(place, row.index(min(row))) for place, row in enumerate(known)]
    if len({column for _, column in pairs}) != len(pairs):
        return []
    others = [one for place, row in enumerate(known) for column, one in enumerate(row) if (place, column) not in pairs]
    clearly = _CLEARLY * max(known[place][column] for place, column in pairs) < min([*others, 1.0])
    return pairs if clearly else []


_CLEARLY = 2.0
"""How many times as near. Of two unrelated tensors and two others (a network and one whose weights were never loaded)
the crosswise pairs are the nearer ones in 12 of 100 cases, and twice as near in fewer than one; columns of normal
numbers with means and spreads of their own, 64 to 16,384 elements, 4,000 draws each. Eight bits leave tensors of one
network far nearer than that."""
_READ = 1 << 12
"""Numbers of a stored tensor that are read to learn whether they are all one: as many as the widest layers have."""
_MANY = 16
"""Elements from which mean, spread and both ends do not agree within 10⁻³ by chance."""


def same_order(reference: Sketch | None, candidate: Sketch | None) -> bool | None:
    """Whether two tensors of one shape that ``agree`` also hold their elements in one order; None if unknown."""
    if not agree(reference, candidate) or reference is None or candidate is None:
        return None
    reference, candidate = reference.core, candidate.core
    spread = max(reference.rms**2 - reference.mean**2, 0.0) ** 0.5
    scatter: float = spread / float(reference.size) ** 0.5
    return abs(reference.order - candidate.order) <= 5 * SAME_TENSOR * scatter + 1e-6 * reference.rms


def weight_sizes(skeleton: Skeleton, node: Node) -> tuple[int, ...]:
    """Element counts of a node's larger weights, sorted: the shape of its parameters up to layout.

    Of a stored weight that is split or sliced first, the part counts that the node reads.
    """
    sizes = []
    for name in node.inputs:
        roots = sorted(skeleton.constants.get(name, ()))
        part = skeleton.size(name) if len(roots) == 1 and name != roots[0] else None
        for root in roots:
            weight = skeleton.graph.weights.get(root)
            if weight is not None and len(weight.shape) >= 2:
                total = prod(weight.shape)
                sizes.append(part if part and part < total else total)
    return tuple(sorted(sizes))


def stored_number(skeleton: Skeleton, node: Node) -> float:
    """The one number that a sum or product takes beside a tensor, which may be stored in few bits; NaN for none."""
    if node.kind not in AFFINE or len(skeleton.data_inputs(node)) != 1:
        return float("nan")
    roots = [skeleton.graph.weights.get(root) for root in skeleton.weight_roots(node)]
    stored = [weight for weight in roots if weight is not None and weight.coded] or roots  # beside scale, zero point
    if len(stored) != 1 or stored[0] is None or prod(stored[0].shape) != 1:
        other = node.attributes.get("other")
        return float(other) if isinstance(other, (int, float)) else float("nan")
    return float(np.asarray(stored[0].values(), np.float64).item())


def taken_operands(skeleton: Skeleton, node: Node) -> str:
    """A letter for each operand: "d" for computed tensors, "w" for stored ones, "0" for numbers; where their order says
    nothing, numbers come last."""
    words = "".join(_operand(skeleton, name) for name in node.inputs if name)
    words = words + "0" * (len(words) == 1)  # a number that is an attribute
    return words if node.kind in INVERSES else "".join(sorted(words, reverse=True))


def _operand(skeleton: Skeleton, name: str) -> str:
    weight = skeleton.graph.weights.get(name)
    if name not in skeleton.constants or weight is None:
        return "0" if skeleton.size(name) == 1 else "d"
    size = prod(weight.shape)
    return "w" if size > 1 and not (size <= _READ and _is_one_number(weight)) else "0"


def _is_one_number(weight: Weight) -> bool:
    """Whether all elements are one, as the numbers tell that a float weight is known by."""
    known = fingerprint_of(weight) if is_floating(weight.dtype) else None
    if known is not None:
        return known.low == known.high
    values = np.asarray(weight.values())
    return bool((values == values.flat[0]).all())
