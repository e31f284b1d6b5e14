"""Devices that round what they multiply, as matrix units do, and write float32: told by the errors that it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np

from aligner.adapters.base import Feeds, Injection, Session
from aligner.adapters.dumps.recorded import Given, real
from aligner.adapters.lazy_injection import LazyInjection
from aligner.operations.kinds import SUMS_PRODUCTS
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

Recorded = Mapping[str, Callable[[], CapturedTensor]]

_BITS = 23
"""Of a float32's mantissa."""
_GRIDS = (("float16", 10, True), ("float16", 10, False), ("bfloat16", 7, True), ("bfloat16", 7, False))
"""A type of as many bits, the bits of mantissa that are left, and whether they are rounded or the rest is cut off.
TF32 has float16's ten."""
_MOST_TIMES = 4.0
"""How much larger an error may be than what rounding one operand leaves: √2 for two operands, twice that where both are
cut off and not rounded, and √2 again as some of an operand's numbers lie on the grid as they are."""
_MOST_NUMBERS = 1 << 26
"""Limit of memory: of tensors that are held at once."""
_SURE = 0.125
"""Standard error of a coefficient that tells 1 from 0 by four of it on either side of a half."""
_MOST = 0.75
"""Share of the products that have to say so: matrix units are a device's, a single layer in fewer bits is not."""


def operand_type(
    session: Session, graph: Graph, feeds: Feeds, recorded: Recorded, deviating: Collection[str]
) -> str | None:
    """The narrower type to whose bits a device rounds the operands of its products; None where it does not.

    The model runs from the recorded tensors, and from the same ones rounded. A product of rounded operands is off by
    what rounding that operand changes, and by what rounding the weights does, which has nothing to do with it: by
    regression its error holds once what the rounded tensors change. Other weights, another kernel or other settings
    leave errors that hold none of it.
    """
    ends, operands = _products(graph, recorded)
    if len(ends.intersection(deviating)) < max(1.0, _MOST * len(ends)):
        return None
    given = real(recorded)
    seen = {one.value: np.array(one.real()) for one in session.run(feeds, ends | operands, Given(given, graph))}
    inner = {value: seen[value] for value in operands & seen.keys()}
    said: list[list[tuple[float | None, float]]] = []
    for _, bits, nearest in _GRIDS:
        narrow = partial(_narrowed, bits=bits, nearest=nearest)
        fed = {name: narrow(array) for name, array in feeds.items()}
        rounded = LazyInjection({**recorded, **inner}, partial(_rounded, narrow, given, inner))
        tensors = session.run(fed, ends & seen.keys(), Given(rounded, graph))
        said.append([_held(seen[one.value], recorded[one.value]().real(), one.array) for one in tensors])
    shares = [_share_in(answers) for answers in said]
    best = int(np.argmax(shares))
    return _GRIDS[best][0] if shares[best] >= _MOST else None


def _rounded(narrow: Callable[[Array], Array], given: Injection, inner: Mapping[str, Array], value: str) -> Array:
    return narrow(inner[value] if value in inner else given[value])


def _share_in(answers: list[tuple[float | None, float]]) -> float:
    """The share of a device's products that are off as rounding leaves them: by what, and by how much."""
    surely = [abs(found - 1) < 0.5 for found, _ in answers if found is not None]
    small = [times <= _MOST_TIMES for _, times in answers]
    return min(sum(surely) / len(surely), sum(small) / len(small)) if surely else 0.0


def _products(graph: Graph, recorded: Recorded) -> tuple[set[str], set[str]]:
    """Recorded values that products lead to, and of these products the operands that were not recorded.

    From the operands to such a value nothing but products reads an operand: a sum with it would move with it too.
    """
    ends, operands = set[str](), set[str]()
    left = _MOST_NUMBERS
    for value in recorded:
        region = graph.region(recorded.keys(), value) if graph.producer(value) is not None else []
        products = [node for node in region if node.kind in SUMS_PRODUCTS]
        inner = {name for node in products for name in node.inputs if graph.varies(name)} - recorded.keys()
        inner.difference_update(graph.inputs)
        sizes = [math.prod(size or 1 for size in graph.values[name].shape or ()) for name in (value, *inner)]
        if not products or sum(sizes) > left:
            continue
        known = {*recorded, *inner, *graph.inputs}
        behind = graph.region(known, value)
        if all(node.kind in SUMS_PRODUCTS for node in behind if not known.isdisjoint(node.inputs)):
            ends.add(value)
            operands |= inner
            left -= sum(sizes)
    return ends, operands


def _narrowed(array: Array, bits: int, *, nearest: bool) -> Array:
    """Float32 numbers with so many bits of mantissa, rounded to even, or cut off; others as they are.

    What is cut off is smaller by half a unit on average, which would show in errors of another making as well: that is
    put back here, so that either way goes up and down.
    """
    if array.dtype != np.float32:
        return array
    half = np.uint32(1 << (_BITS - bits - 1))
    lost = np.uint32(2 * half - 1)
    words = np.ascontiguousarray(array).view(np.uint32)
    if nearest:
        found = (words + half - np.uint32(1) + ((words >> np.uint32(_BITS - bits)) & np.uint32(1))) & ~lost
    else:
        found = np.where(words & lost, (words & ~lost) | half, words)
    return np.where(np.isfinite(array), found.view(np.float32), array)


def _held(own: Array, there: Array, rounded: Array) -> tuple[float | None, float]:
    """How often an error holds what rounding changes, by regression, and how many times as large it is.

    None for what is not known to _SURE. Both without what is in proportion to the tensor itself: numbers that are cut
    off are smaller, weights likewise.
    """
    if own.shape != there.shape or own.dtype.kind != "f":
        return None, math.inf
    own = own.ravel().astype(np.float64)
    error, moved = (one.ravel().astype(np.float64) - own for one in (there, rounded))
    whole = float(own @ own) or 1.0
    error, moved = (one - float(one @ own) / whole * own for one in (error, moved))
    size, seen = float(moved @ moved), float(error @ error)
    if not (math.isfinite(size) and math.isfinite(seen)) or not size:
        return None, math.inf if seen else 0.0
    coefficient = float(error @ moved) / size
    rest = max(seen - coefficient**2 * size, 0.0)
    sure = math.sqrt(rest / max(error.size - 2, 1) / size) <= _SURE
    return (coefficient if sure else None), math.sqrt(seen / size)
