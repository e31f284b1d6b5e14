"""Sizes and values that follow from other inputs: sizes of one name, sums of them, a decoder's mask over its caches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aligner.errors import InputError
from aligner.inputs.arrays import feed_array
from aligner.inputs.conventions import words
from aligner.inputs.decoding import Roles, derived, roles
from aligner.inputs.fed import Fed
from aligner.inputs.items import SideInfo
from aligner.inputs.slots import End, Slot, compatible
from aligner.records.array import Array
from aligner.records.graph import InputSpec, Shape

_CACHED = frozenset("past cache kv".split())
_SUM = re.compile(r"\w+(?:\s*\+\s*\w+)+")
Held = Sequence[tuple[InputSpec, tuple[int, ...]]]
"""Inputs of one side and the shapes that they are fed."""


def sized(slot: Slot, fed: Sequence[Fed]) -> Slot:
    """The input, its open sizes filled with those that its models declare to be other inputs' or sums of them."""
    ends = []
    for end in slot.ends:
        sizes = declared_sizes(end.spec, [(f.end.spec, f.array.shape) for f in fed if f.end.role == end.role])
        shape = end.spec.shape and tuple(
            found if size is None else size for size, found in zip(end.spec.shape, sizes, strict=True)
        )
        ends.append(replace(end, spec=replace(end.spec, shape=shape)))
    return slot if len(ends) == 2 and not compatible(*ends) else Slot(tuple(ends))


def declared_sizes(spec: InputSpec, held: Held) -> Shape:
    """What each size is by its name; None where it has none, or no input or inputs of several sizes have that name."""
    known: dict[str, set[int]] = {}
    for other, shape in held:
        if len(other.axes) == len(shape):
            for word, size in zip(other.axes, shape, strict=True):
                known.setdefault(word, set()).add(size)

    def one(word: str) -> int | None:
        found = known.get(word, set())
        return int(word) if word.isdigit() else next(iter(found)) if word.isidentifier() and len(found) == 1 else None

    def whole(word: str) -> int | None:
        parts = [one(part.strip()) for part in word.split("+")] if _SUM.fullmatch(word) else [one(word)]
        return None if None in parts else sum(part for part in parts if part is not None)

    return tuple(whole(word) for word in spec.axes) if spec.axes else (None,) * len(spec.shape or ())


def is_cache(spec: InputSpec) -> bool:
    """Whether its name and type are those of a decoder's keys or values of earlier positions."""
    return bool(_CACHED & set(words(spec.name))) and (spec.dtype is None or "float" in spec.dtype)


def decoder(side: SideInfo) -> Roles | None:
    """What the inputs of a side are for that takes tokens and caches; None for any other."""
    if not any(map(is_cache, side.signature.inputs)):
        return None
    try:
        found = roles(side.signature, "model")
    except InputError:
        return None
    return found if all(map(is_cache, found.caches)) else None


def follows(end: End) -> bool:
    """Whether it is a mask, positions, a length or a flag of a decoder with caches."""
    found = decoder(end.side)
    return found is not None and end.spec.name in {spec.name for spec in found.derived}


def behind_caches(end: End, held: Sequence[tuple[InputSpec, Array]]) -> Array | None:
    """The mask, positions, length or flag for these tokens behind these caches; None for what is none of them.

    A cache's positions are its only open size beside the batch's, and all caches that do not hold an encoder's have
    the same number of them.
    """
    found = decoder(end.side)
    if found is None or not follows(end):
        return None
    arrays = {spec.name: array for spec, array in held}
    lengths = {
        array.shape[axis]
        for spec in found.caches
        if (array := arrays.get(spec.name)) is not None and not {"encoder", "cross"} & set(words(spec.name))
        for axis in _positions(spec)
    }
    tokens = arrays.get(found.tokens.name)
    return None if tokens is None or len(lengths) != 1 else derived(end.spec, tokens, lengths.pop())


def empty_cache(end: End, other: SideInfo, held: Held) -> Array | None:
    """What a decoder's cache holds before its first token, where the other side needs none and so starts with none.

    None for what is no such cache, and where its positions are not its only open size beside the batch's.
    """
    found = decoder(end.side)
    if found is None or any(spec.required and is_cache(spec) for spec in other.signature.inputs):
        return None
    spec = next((one for one in found.caches if one.name == end.spec.name), None)
    tokens = next((shape for one, shape in held if one.name == found.tokens.name), None)
    if spec is None or spec.shape is None or not tokens or {"encoder", "cross"} & set(words(spec.name)):
        return None
    if len(_positions(spec)) != 1:
        return None
    sizes = [(0 if axis else tokens[0]) if size is None else size for axis, size in enumerate(spec.shape)]
    return np.zeros(sizes, np.dtype(spec.dtype or "float32"))


def following_sizes(end: End, held: Sequence[tuple[InputSpec, Array]]) -> Shape:
    """The sizes of an input that others decide; None for the rest."""
    array = behind_caches(end, held)
    if array is not None:
        return tuple(array.shape)
    sizes = declared_sizes(end.spec, [(spec, other.shape) for spec, other in held])
    return tuple(size if "+" in word else None for word, size in zip(end.spec.axes, sizes, strict=False))


def _positions(spec: InputSpec) -> list[int]:
    return [axis for axis, size in enumerate(spec.shape or ()) if size is None and axis]


def following_feed(slot: Slot, fed: Sequence[Fed]) -> tuple[Fed, ...] | None:
    """What follows from tokens and caches that were fed, for every end; None where it follows from neither."""
    for end in slot.ends:
        held = [(f.end.side.spec(f.end.spec.name) or f.end.spec, f.array) for f in fed if f.end.role == end.role]
        array = behind_caches(end, held)
        if array is not None and (len(slot.ends) == 1 or compatible(slot.ends[0], slot.ends[1])):
            return feed_array(array, slot, "derived data", layout=None)
    return None
