"""A fault between the two halves of a rewrite: channels permuted or scaled by one layer, and put right by a later one.

Neither half is wrong, and both err on the reference's tensors, as the node between them does that is wrong. What the
first half gives tells the form: a factor and a place for each channel. Nodes that keep it are right if they give the
form of what the reference's give; in the place of what one at fault gives, the reference's tensor in that form is put.
If everything that reads the form is right then, the halves belong together, and the rest of what errs is at fault. So
is the first half itself, if it gives the form but for an offset of each channel, as where a bias is lost, or if what
reads it has the reference's kernel but for a form, and is right with that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import field

import numpy as np

from aligner.judgement.form_readers import form_by_kernel
from aligner.judgement.joint_test import JointTest, Shown
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.reordered import ChannelForm, channel_form, shifted_form
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_STEPS = 8
"""Pairs in a row between two halves: a rectifier with paddings, pools, resizes."""
_ROUNDED = 4 * float(np.finfo(np.float32).eps)
"""Of a tensor's peak: what rounding leaves in the factors of a form, which nodes that compute exactly hand on."""


@dataclass(frozen=True, slots=True)
class Halves:
    """Values that hold the form, values that err in it and the name of what reads them rightly in it."""

    formed: frozenset[str]
    wrong: tuple[str, ...]
    ends: frozenset[str]


@dataclass(slots=True)
class _Search:
    walk: RegionWalk
    test: JointTest
    guilty: Callable[[str], bool]
    form: ChannelForm
    inside: set[str]
    stead: dict[str, Array] = field(default_factory=dict)
    ends: set[str] = field(default_factory=set)

    def shown(self, watched: Collection[str]) -> Shown:
        free = self.walk.reached(self.inside) | self.walk.free
        return self.test.changed(free - self.stead.keys(), sorted(watched, key=self.walk.place.__getitem__), self.stead)

    def advance(self, front: Collection[str]) -> bool:
        """Take in what reads the form; False where something neither keeps it, nor undoes it, nor errs by itself."""
        shown = self.shown(front)
        for value in sorted(front, key=self.walk.place.__getitem__):
            if value not in shown.exits or value not in shown.arrays:
                return False
            if shown.exits[value].within and self.guilty(value):
                self.ends.add(value)
                continue
            found, expected = shown.arrays[value]
            formed = self.form.of(expected)
            if formed is None or found.dtype.kind != "f":
                return False
            within = shown.exits[value].limit * self.form.largest + _ROUNDED * float(np.abs(formed).max(initial=0.0))
            with np.errstate(all="ignore"):
                apart = float(np.abs(found.astype(np.float64) - formed).max(initial=0.0))
            if not apart <= within:
                if not self.guilty(value):
                    return False
                self.stead[value] = formed.astype(found.dtype)
            self.inside.add(value)
        return True


def between_halves(walk: RegionWalk, test: JointTest, start: str, guilty: Callable[[str], bool]) -> Halves | None:
    """What a pair that errs, as the first half of a rewrite, leads to; None where it is none, or nothing else errs."""
    first = walk.with_copies([start])
    if not walk.ahead(first, guilty):
        return None
    arrays = test.test({start} | walk.free, [start], [start]).arrays.get(start)
    if arrays is None:
        return None
    form, stead = channel_form(*arrays), dict[str, Array]()
    if form is None:  # the first half itself is wrong: no later one takes an offset away, or noise
        form = shifted_form(*arrays) or _as_read(walk, test, start, guilty, arrays[1].ndim)
        formed = form.of(arrays[1]) if form is not None else None
        stead = {start: formed.astype(arrays[0].dtype)} if formed is not None else {}
    if form is None:
        return None
    search = _Search(walk, test, guilty, form, first, stead)
    for _ in range(_STEPS):
        front = set(walk.exits(search.inside)) - search.ends
        if not front:
            break
        if not search.advance(front):
            return None
    if front or walk.outputs(search.inside) or not (search.stead and search.ends):
        return None
    after = search.shown(search.ends)
    if not all(value in after.exits and after.exits[value].within for value in search.ends):
        return None
    return Halves(frozenset(search.inside - search.stead.keys()), tuple(search.stead), frozenset(search.ends))


def _as_read(
    walk: RegionWalk, test: JointTest, start: str, guilty: Callable[[str], bool], rank: int
) -> ChannelForm | None:
    """The form that the first layer which errs behind a value undoes, by its kernel."""
    handing = {value for value in walk.items if not guilty(value)}
    behind = (value for value in walk.behind([start], handing) if guilty(value))
    forms = (form_by_kernel(test.graphs, walk.items[value], rank) for value in behind)
    return next((form for form in forms if form is not None), None)
