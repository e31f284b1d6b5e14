"""Inputs at other sizes: what a name of a size means for two models, and both sides' arrays made as large."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from aligner.errors import InputError, listing
from aligner.inputs.conventions import derivable_kind, is_tokens, words
from aligner.inputs.following import behind_caches, declared_sizes, following_sizes
from aligner.inputs.items import Correspondence, PreparedFeeds, SideInfo
from aligner.inputs.layouts import evident_layout, spatial_axes
from aligner.inputs.slots import End
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_ALIKE = (
    frozenset("batch n b".split()),
    frozenset("seq sequence length len tokens time t s".split()),
    frozenset("height h".split()),
    frozenset("width w".split()),
)
"""Words for one size; the first is what the convention goes by."""
Sizes = Mapping[str, int]


def points(shapes: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Every combination, the last name's sizes changing first."""
    return [dict(zip(shapes, chosen, strict=True)) for chosen in product(*shapes.values())]


@dataclass(frozen=True, slots=True)
class _Place:
    """An axis of one logical input, on either side."""

    item: Correspondence
    axes: tuple[int, int]


def resized(fed: PreparedFeeds, sizes: Sizes, reference: SideInfo, candidate: SideInfo) -> PreparedFeeds:
    """Both sides' arrays at these sizes: repeated or cut off, further samples with their values moved along.

    Raises InputError for a name that means no axis of any input that both sides share.
    """
    left, right = dict(fed.reference), dict(fed.candidate or {})
    for name, size in sizes.items():
        places = _places(name, fed, reference, candidate)
        if not places:
            raise InputError(
                f"no input has a size called {name}",
                found=listing(_named(fed, (reference, candidate))) or "no input that both sides share",
                hint="use one of these, batch, seq, height, width, or INPUT:AXIS as in x:2=224,320",
            )
        for place in places:
            one, other, moved = place.item
            order = moved or tuple(range(left[one].ndim))
            specs = reference.spec(one), candidate.spec(other)
            kind = next(filter(None, (derivable_kind(spec) for spec in specs if spec is not None)), None)
            inner = max(
                (axis for axis in order if axis != place.axes[0]), key=lambda at: left[one].shape[at], default=None
            )
            rolls = None if inner is None or kind or place.axes[0] else (inner, order.index(inner))
            left[one] = _made(left[one], place.axes[0], size, kind, rolls and rolls[0])
            right[other] = _made(right[other], place.axes[1], size, kind, rolls and rolls[1])
    _follow(fed, (reference, candidate), (left, right))
    _alone({one for one, _, _ in fed.correspondence}, reference, left)
    _alone({other for _, other, _ in fed.correspondence}, candidate, right)
    rows = tuple(replace(row, source=f"{row.source}, at {spelled(sizes)}") for row in fed.fed)
    return replace(fed, reference=left, candidate=right, fed=rows)


def _follow(fed: PreparedFeeds, sides: tuple[SideInfo, SideInfo], arrays: tuple[dict[str, Array], ...]) -> None:
    """Sizes that others decide: sums, and a decoder's mask over caches and tokens."""
    for item in fed.correspondence:
        order = item[2] or tuple(range(arrays[0][item[0]].ndim))
        for place, (side, called) in enumerate(zip(sides, item[:2], strict=True)):
            held = [(spec, array) for name, array in arrays[place].items() if (spec := side.spec(name))]
            own = next((spec for spec, _ in held if spec.name == called), None)
            if own is None:
                continue
            rest = [one for one in held if one[0] is not own]
            sizes = following_sizes(End("candidate" if place else "reference", own, side), rest)
            for axis, size in enumerate(sizes if len(sizes) == len(order) else ()):
                axes = (order[axis], axis) if place else (axis, order.index(axis))
                if size is not None and arrays[place][called].shape[axis] != size:
                    for which, name in enumerate(item[:2]):
                        arrays[which][name] = _made(arrays[which][name], axes[which], size, derivable_kind(own), None)


def _alone(shared: Collection[str], side: SideInfo, arrays: dict[str, Array]) -> None:
    """Inputs of one side alone: as large as what they share a size's name with, else masks and the like as the tokens,
    and empty caches as many as these."""
    known = [(spec, arrays[name]) for name in arrays if name in shared and (spec := side.spec(name))]
    tokens = next((array.shape for spec, array in known if is_tokens(spec)), ())
    for name in [name for name in arrays if name not in shared]:
        spec, before = side.spec(name), arrays[name]
        if spec is None:
            continue
        kind, held = (
            derivable_kind(spec),
            [(one, arrays[one.name]) for one in side.signature.inputs if one.name in arrays],
        )
        behind = behind_caches(End("reference", spec, side), held)
        if behind is not None:
            arrays[name] = behind.astype(before.dtype)
            continue
        alike = tokens if kind and len(tokens) == before.ndim else tokens[:1] if not before.size else ()
        named = declared_sizes(spec, [(one, array.shape) for one, array in known])
        for axis, written in enumerate(spec.shape or (None,) * before.ndim):
            told = named[axis] if axis < len(named) else None
            size = alike[axis] if told is None and axis < len(alike) else told
            if written is None and size is not None and size != before.shape[axis]:
                arrays[name] = _made(arrays[name], axis, size, kind, None)


def spelled(sizes: Sizes) -> str:
    """ "batch=4, seq=16"."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def _made(array: Array, axis: int, size: int, kind: str | None, along: int | None) -> Array:
    """One array at that size; positions count on, and no two samples are the same."""
    before = array.shape[axis]
    made = np.take(array, np.arange(size) % before, axis)
    if kind == "range" and axis == array.ndim - 1:
        made[...] = int(array.flat[0]) + np.arange(size)
    elif along is not None:
        for sample in range(before, size):
            part = (slice(None),) * axis + (slice(sample, sample + 1),)
            made[part] = np.roll(made[part], sample, along)
    return np.ascontiguousarray(made)


def _places(name: str, fed: PreparedFeeds, reference: SideInfo, candidate: SideInfo) -> list[_Place]:
    """By the words of a model for its sizes, by input and axis, else by convention."""
    known = [(item, *_axis_words(item, fed, (reference, candidate))) for item in fed.correspondence]
    whose, colon, number = name.rpartition(":")
    if colon and number.isdigit():
        return [
            _Place(item, (int(number), order.index(int(number))))
            for item, order, _ in known
            if whose in item[:2] and int(number) < len(order)
        ]
    for same in (
        lambda word: word == name,
        lambda word: set() < set(words(word)) <= _meant(name),
        lambda word: "+" not in word and bool(_meant(name) & set(words(word))),
    ):
        found = [
            _Place(item, (axis, order.index(axis)))
            for item, order, said in known
            for axis in order
            if any(same(word) for word in said[axis])
        ]
        if found:
            return found
    return [
        _Place(item, (axis, order.index(axis)))
        for item, order, _ in known
        if (axis := _conventional(_meant(name), fed.reference[item[0]], reference)) is not None
    ]


def _meant(name: str) -> frozenset[str]:
    return next((alike for alike in _ALIKE if name.lower() in alike), frozenset({name.lower()}))


def _conventional(meant: frozenset[str], array: Array, reference: SideInfo) -> int | None:
    """Batches come first, then a sequence's positions; height and width where a picture has them."""
    if "batch" in meant:
        return 0 if array.ndim > 1 else None
    if "seq" in meant:
        return 1 if array.ndim in (2, 3) else None
    if array.ndim != 4 or not meant & {"height", "width"}:
        return None
    layout = evident_layout(array.shape) or reference.channels
    return list(spatial_axes(4, layout))["width" in meant]


def _axis_words(
    item: Correspondence, fed: PreparedFeeds, sides: tuple[SideInfo, SideInfo]
) -> tuple[tuple[int, ...], list[set[str]]]:
    """The order of axes of the candidate, and what each axis of the reference's array is called on either side."""
    order = item[2] or tuple(range(fed.reference[item[0]].ndim))
    said: list[set[str]] = [set() for _ in order]
    for place, (side, name) in enumerate(zip(sides, item[:2], strict=True)):
        spec = side.spec(name)
        for axis, word in enumerate(spec.axes if spec is not None and len(spec.axes) == len(order) else ()):
            said[order[axis] if place else axis] |= {word} - {""}
    return order, said


def _named(fed: PreparedFeeds, sides: tuple[SideInfo, SideInfo]) -> list[str]:
    found = [word for item in fed.correspondence for said in _axis_words(item, fed, sides)[1] for word in sorted(said)]
    return list(dict.fromkeys(found)) or [item[0] for item in fed.correspondence]
