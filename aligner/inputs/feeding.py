"""From the user's items to feeds for both sides: the one door of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aligner.errors import InputError, listing
from aligner.inputs.arrays import feed_array
from aligner.inputs.assignment import Assignment, Given, assign, declared, unanswered_inputs
from aligner.inputs.casting import stored_as
from aligner.inputs.conventions import words
from aligner.inputs.fed import Fed, describe, found_correspondence, owned, shared_correspondence
from aligner.inputs.items import Correspondence, InputItem, PreparedFeeds, Preprocessing, Role, SideInfo
from aligner.inputs.slots import End, Slot, match_inputs
from aligner.inputs.value import Picture, checked, empty
from aligner.records.array import Array
from aligner.records.comparison import FedInput


def prepare_feeds(
    items: Sequence[InputItem],
    reference: SideInfo,
    candidate: SideInfo | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> PreparedFeeds:
    """Turn what the user gave into arrays for both sides: one logical input, each side's own layout and dtype.

    Without items every required input is drawn with ``seed``, unless a side is a recording and brings its own.
    Raises InputError when something is missing, unreadable, not finite, or does not fit.
    """
    options = preprocessing or Preprocessing()
    named = [item for item in items if item.name is not None]
    own = [(item.side, item.name) for item in named if item.side is not None and item.name is not None]
    settings = [item.name for item in named if item.name is not None and isinstance(item.value, bool | int | float)]
    unnamed = len(items) - len(named)
    slots = match_inputs(reference, candidate, own=own, settings=settings, unnamed=unnamed)
    _refuse_collections(slots)
    assignments, notes = assign(items, slots, options)
    recorded = _add_recordings(assignments)
    tray = _Tray(options, notes, two_sided=candidate is not None)
    for assignment in assignments:
        if not assignment.empty:
            _feed_given(assignment, tray)
    _note_unused_options(assignments, options, notes)
    waiting = [a.slot for a in assignments if a.empty and a.slot.required and not _is_recorded(a.slot)]
    if not items and not recorded:
        waiting = _feed_random(waiting, tray, seed)
    if candidate is not None:
        waiting = [slot for slot in waiting if not _feed_empty(slot, (reference, candidate), tray)]
    missing = [slot for slot in waiting if not _feed_derived(slot, tray)]
    if missing:
        raise _missing(missing, slots)
    return tray.prepared(slots, random=tray.random)


@dataclass(slots=True, eq=False)
class _Tray:
    """What has been prepared so far."""

    options: Preprocessing
    notes: list[str]
    two_sided: bool
    feds: dict[int, tuple[Fed, ...]] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    correspondence: list[Correspondence] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    random: bool = False

    def put(self, slot: Slot, feds: tuple[Fed, ...], source: str, *, shared: bool = True) -> None:
        self.feds[id(slot)], self.sources[id(slot)] = feds, source
        self.warnings.extend(warning for fed in feds for warning in fed.warnings)
        by_role = {fed.end.role: fed for fed in feds}
        if len(by_role) < 2:
            return
        relate = shared_correspondence if shared else found_correspondence
        found = relate(by_role["reference"], by_role["candidate"])
        if found is not None:
            self.correspondence.append(found)
        elif not shared:
            self.warnings.append(f"input {slot.name}: the two sides were given different data")

    def fed(self) -> list[Fed]:
        return [fed for feds in self.feds.values() for fed in feds]

    def prepared(self, slots: Sequence[Slot], *, random: bool) -> PreparedFeeds:
        feeds: dict[Role, dict[str, Array]] = {"reference": {}, "candidate": {}}
        rows, nothing = [], True
        for slot in slots:
            feds = self.feds.get(id(slot), ())
            texts: dict[Role, str] = {}
            for fed in feds:
                feeds[fed.end.role][fed.end.spec.name] = fed.array
                texts[fed.end.role] = fed.text
            if feds:
                nothing = nothing and not any(fed.array.size for fed in feds)
                rows.append(FedInput(slot.name, texts.get("reference"), texts.get("candidate"), self.sources[id(slot)]))
        if rows and nothing:
            raise empty(f"input {rows[0].name}", self.fed()[0].array)
        return PreparedFeeds(
            reference=feeds["reference"],
            candidate=feeds["candidate"] if self.two_sided else None,
            fed=tuple(rows),
            notes=tuple(self.notes),
            warnings=tuple(dict.fromkeys(self.warnings)),
            random=random,
            correspondence=tuple(self.correspondence),
        )


def _add_recordings(assignments: list[Assignment]) -> bool:
    """Give every recorded side its own data, and the other side the same where it was given none."""
    found = False
    for assignment in assignments:
        for end in assignment.slot.ends:
            array = (end.side.recorded or {}).get(end.spec.name)
            if array is None:
                continue
            found = True
            source = f"the {end.role}'s recording"
            array = _as_given(array, end, assignment.common)
            if (given := assignment.own.get(end.role)) is not None and not given.recorded:
                what = f"the {end.role} is a recording and cannot be fed with {given.source}"
                raise InputError(what, found=end.text, hint="leave that --input out")
            given = Given(
                end.spec.name, end.role, checked(np.asarray(array), f"{end.text} in {source}"), source, recorded=True
            )
            assignment.own[end.role] = given
            if assignment.common is None and len(assignment.own) == 1:
                assignment.common = given
    return found


def _as_given(array: Array, end: End, given: Given | None) -> Array:
    """A recorded input of a model that tells no shape, in the shape of what was given for it, where they are one."""
    if end.spec.shape is not None or given is None or not isinstance(given.value, np.ndarray):
        return array
    from aligner.adapters.dumps.layout import read_like

    return array if array.shape == given.value.shape else read_like(array, given.value, end.side.channels)


def _is_recorded(slot: Slot) -> bool:
    return all(end.side.recorded is not None for end in slot.ends)


def _feed_given(assignment: Assignment, tray: _Tray) -> None:
    slot = assignment.slot
    gifts = {end.role: assignment.own.get(end.role) or assignment.common for end in slot.ends}
    for end in slot.ends:
        if gifts[end.role] is None and end.spec.required and end.side.recorded is None:
            raise _one_side_only(assignment, end)
    given = [(end, gift) for end in slot.ends if (gift := gifts[end.role]) is not None]
    for gift in dict.fromkeys(gift for _, gift in given):
        _warn_if_constant(gift, tray)
    if len(given) == 2 and given[0][1] is given[1][1] and not given[0][1].recorded:
        tray.put(slot, _feed_one(given[0][1], slot, tray), given[0][1].source)
        return
    feds = [_feed_end(gift, end, slot, tray) for end, gift in given]
    _check_recording(assignment, [gift for _, gift in given], feds, tray)
    sources = dict.fromkeys(gift.source for _, gift in given)
    tray.put(slot, tuple(feds), " and ".join(sources), shared=False)


def _check_recording(assignment: Assignment, gifts: list[Given], feds: list[Fed], tray: _Tray) -> None:
    """What is given for both sides must be what a recorded side was made with."""
    common = assignment.common
    recorded = [gift for gift in gifts if gift.recorded]
    if common is None or common.recorded or not recorded:
        return
    if common not in gifts:
        tray.notes.append(
            f"{common.source} was not fed to input {assignment.slot.name}: recordings bring their own data"
        )
    elif len(feds) == 2 and found_correspondence(feds[0], feds[1]) is None:
        other = "candidate" if recorded[0].side == "reference" else "reference"
        if _same_in_another_order(feds[0].array, feds[1].array):
            raise InputError(
                f"the {recorded[0].side} was recorded with {common.source} in another order of its numbers",
                found="; ".join(f"{fed.end.role} {fed.text}" for fed in feds),
                hint="say how the dump lies (--dump-layout nchw|nhwc), or leave that out and it is found; channels in "
                f"another order are the preprocessing's: --input {other}.{assignment.slot.name}={common.source}",
            )
        raise InputError(
            f"the {recorded[0].side} was recorded with other data than {common.source}",
            found="; ".join(f"{fed.end.role} {fed.text}" for fed in feds),
            hint="leave that --input out: the recording brings its own data; or record again with this one; or feed it "
            f"to the other side alone, to compare what was fed: --input {other}.{assignment.slot.name}={common.source}",
        )


def _same_in_another_order(one: Array, other: Array) -> bool:
    if (one.ndim, one.size) != (other.ndim, other.size) or not {one.dtype.kind, other.dtype.kind} <= set("biuf"):
        return False
    return bool(np.allclose(np.sort(one, axis=None), np.sort(other, axis=None), rtol=1e-6, atol=0))


def _feed_end(gift: Given, end: End, slot: Slot, tray: _Tray) -> Fed:
    """Feed one end alone: a recorded side untouched, the other side of a recording from that side's stored values."""
    if not gift.recorded or isinstance(gift.value, Picture):
        return _feed_one(gift, Slot((end,)), tray)[0]
    if gift.side == end.role:
        array = owned(gift.value)
        return Fed(end, array, tuple(range(array.ndim)), describe(array, end, "as recorded"))
    origin = next(other for other in slot.ends if other.role == gift.side)
    stored = stored_as(gift.value, (origin,))
    alone = Slot((end,))
    return feed_array(gift.value, alone, gift.source, layout=origin.layout, dtype=tray.options.dtype, stored=stored)[0]


def _feed_one(gift: Given, slot: Slot, tray: _Tray) -> tuple[Fed, ...]:
    if isinstance(gift.value, Picture):
        from aligner.inputs.pictures import feed_picture, range_notes

        feds = feed_picture(gift.value, slot, gift.source, tray.options)
        tray.notes.extend(range_notes(slot, tray.options))
        return feds
    return feed_array(gift.value, slot, gift.source, layout=tray.options.channels, dtype=tray.options.dtype)


def _warn_if_constant(gift: Given, tray: _Tray) -> None:
    value = np.asarray(gift.value.image) if isinstance(gift.value, Picture) else gift.value
    if value.size > 1 and value.dtype.kind != "O" and bool((value == value.flat[0]).all()):
        tray.warnings.append(f"{gift.source}: a constant input hides channel order and padding")


def _note_unused_options(assignments: list[Assignment], options: Preprocessing, notes: list[str]) -> None:
    gifts = [gift for a in assignments for gift in (a.common, *a.own.values()) if gift is not None]
    chosen = options.rescales or options.size is not None or options.color is not None
    if chosen and gifts and not any(isinstance(gift.value, Picture) for gift in gifts):
        notes.append("--size, --mean, --std, --scale and --color concern pictures; arrays were fed as they are")


def _feed_random(slots: list[Slot], tray: _Tray, seed: int) -> list[Slot]:
    """Draw what can be drawn for both sides alike; return what has to be derived or given."""
    if not slots:
        return []
    from aligner.inputs.draws import random_feed
    from aligner.inputs.following import following_feed, follows, sized

    rng = np.random.default_rng(seed)
    rest = []
    for slot in sorted(slots, key=lambda slot: any(map(follows, slot.ends))):
        lonely = tray.two_sided and len(slot.ends) == 1
        derived = slot.derivable not in (None, "state") or following_feed(slot, tray.fed()) is not None
        drawn = None if lonely or derived else random_feed(sized(slot, tray.fed()), tray.options, rng)
        if drawn is None:
            rest.append(slot)
            continue
        tray.put(slot, drawn[0], f"random ({drawn[1]}, seed {seed})")
        tray.random = True
    if tray.random:
        tray.notes.append(f"no --input was given: the inputs were drawn at random (seed {seed})")
    return rest


def _feed_empty(slot: Slot, sides: tuple[SideInfo, SideInfo], tray: _Tray) -> bool:
    """Feed a cache of one side alone: the other begins with none."""
    from aligner.inputs.following import empty_cache

    (end, *more) = slot.ends
    held = [(f.end.spec, f.array.shape) for f in tray.fed() if f.end.role == end.role]
    array = None if more else empty_cache(end, sides[end.role == "reference"], held)
    if array is None:
        return False
    how = "an empty cache"
    tray.put(slot, (Fed(end, array, tuple(range(array.ndim)), describe(array, end, how)),), f"derived: {how}")
    tray.notes.append(f"{end.text}: {how}, because the other side begins with none")
    return True


def _feed_derived(slot: Slot, tray: _Tray) -> bool:
    from aligner.inputs.draws import derived_feed
    from aligner.inputs.following import following_feed, sized

    behind = following_feed(slot, tray.fed())
    made = derived_feed(sized(slot, tray.fed()), tray.fed()) if behind is None else (behind, "tokens behind caches")
    if made is None:
        return False
    feds, how = made
    tray.put(slot, feds, f"derived: {how}")
    ends = " and ".join(fed.end.text for fed in feds)
    tray.notes.append(f"{ends}: {how}, because nothing was given for it")
    return True


def _one_side_only(assignment: Assignment, end: End) -> InputError:
    given = next(iter(assignment.own.values()))
    return InputError(
        f"input {assignment.slot.name} was given to the {given.side} alone",
        found=f"{given.source}; {end.text} waits for its data",
        hint=f"add --input {end.role}.{end.spec.name}=FILE, or give both the same: --input {assignment.slot.name}=FILE",
    )


def _refuse_collections(slots: Sequence[Slot]) -> None:
    """A sequence, a map, an optional: "sequence(float32)"."""
    ends = [end for slot in slots for end in slot.ends if end.spec.required and "(" in (end.spec.dtype or "")]
    if ends:
        raise InputError(
            f"input {ends[0].spec.name} is no tensor, and only tensors can be fed",
            found=listing(f"{end.role}.{end.spec.name} {end.spec.dtype}" for end in ends),
            hint="export the model with tensors as its inputs",
        )


def _missing(missing: list[Slot], slots: Sequence[Slot]) -> InputError:
    unanswered = unanswered_inputs(missing, slots)
    if unanswered is not None:
        return unanswered
    ends = [slot.ends[0] for slot in missing]
    ways = " ".join(_way(end, unique=_is_unique(end, slots)) for end in ends[:5])
    what = f"no data for input {listing(end.spec.name for end in ends)}"
    alone = [slot.ends[0].role for slot in missing if len(slot.ends) == 1]
    if alone and any(end.role != alone[0] for slot in slots for end in slot.ends):
        other = "candidate" if alone[0] == "reference" else "reference"
        what += f"; the {other} has no such input, and it cannot be derived"
    found = f"needed: {listing(end.text for end in ends)}; inputs: {declared(slots)}"
    caches = all({"past", "key"} <= {*words(end.spec.name)} or "cache" in words(end.spec.name) for end in ends)
    steps = "go step by step, which feeds a decoder's caches: --steps 3; or " if caches else ""
    return InputError(what, found=found, hint=f"{steps}add {ways}")


def _is_unique(end: End, slots: Sequence[Slot]) -> bool:
    return sum(slot.answers_to(end.spec.name) for slot in slots) == 1


def _way(end: End, *, unique: bool) -> str:
    name = end.spec.name if unique else f"{end.role}.{end.spec.name}"
    return f"--input {name}={_placeholder(end)}"


def _placeholder(end: End) -> str:
    return "…" if end.spec.shape == () else "FILE"
