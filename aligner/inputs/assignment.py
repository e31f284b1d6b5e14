"""Which of the given values goes to which input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from aligner.errors import InputError, listing
from aligner.inputs.arrays import suits
from aligner.inputs.files import pick, read_value
from aligner.inputs.items import ROLES, InputItem, Preprocessing, Role
from aligner.inputs.slots import Slot
from aligner.inputs.value import Picture, Value
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """One value, read; ``recorded`` ones are fed untouched."""

    name: str | None
    side: Role | None
    value: Value
    source: str
    recorded: bool = False


@dataclass(slots=True, eq=False)
class Assignment:
    """What was given for a slot: for both ends in common, for one end alone."""

    slot: Slot
    common: Given | None = None
    own: dict[Role, Given] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return self.common is None and not self.own

    def give(self, given: Given) -> None:
        """Raises InputError when the place is taken."""
        taken = self.common if given.side is None else self.own.get(given.side)
        if taken is not None:
            found = f"{taken.source} and {given.source}"
            raise InputError(
                f"input {self.slot.name} was given twice", found=found, hint="keep one --input for each input"
            )
        if given.side is None:
            self.common = given
        else:
            self.own[given.side] = given


def assign(
    items: Sequence[InputItem], slots: Sequence[Slot], preprocessing: Preprocessing
) -> tuple[list[Assignment], list[str]]:
    """Read every item and give it its place; the second of the pair is what the user should know.

    Raises InputError for a name that no model has, a place given twice, and an unnamed item that could go to several.
    """
    notes: list[str] = []
    assignments = [Assignment(slot) for slot in slots]
    unnamed: list[Given] = []
    for item in items:
        for given in _read(item, slots, notes):
            if given.name is None:
                unnamed.append(given)
            else:
                _named(given, assignments).give(given)
    for side in (None, "reference", "candidate"):
        waiting = [given for given in unnamed if given.side == side]
        if waiting:
            _place_in_order(waiting, assignments, preprocessing, side)
    return assignments, notes


def _read(item: InputItem, slots: Sequence[Slot], notes: list[str]) -> list[Given]:
    source = item.value.name if isinstance(item.value, Path) else item.name or "the input"
    if not isinstance(item.value, Path) and _is_plain(item.value):
        source = repr(item.value) if len(repr(item.value)) <= 20 else source
    value = item.content if item.content is not None else read_value(item.value, source)
    if not isinstance(value, dict):
        return [Given(item.name, item.side, value, source)]
    if item.name is not None:
        return [Given(item.name, item.side, pick(value, item.name, source), source)]
    givens = [Given(name, item.side, array, f"{source}[{name}]") for name, array in value.items()]
    known = [given for given in givens if any(slot.answers_to(given.name or "", given.side) for slot in slots)]
    if not known:
        return _by_position(givens, source, slots)
    if len(known) < len(givens):
        left = listing(given.name for given in givens if given not in known)
        notes.append(f"{source}: no input is named {left}; left out")
    return known


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | list | tuple)


def _by_position(givens: list[Given], source: str, slots: Sequence[Slot]) -> list[Given]:
    """A single array, and those that numpy.savez or an ONNX test data set numbered, need no names."""
    if len(givens) == 1 or (givens and all(re.fullmatch(r"(arr|input)_\d+", given.name or "") for given in givens)):
        return [replace(given, name=None) for given in givens]
    raise InputError(
        f"no array in {source} is named like an input",
        found=f"{listing(given.name for given in givens) or 'no arrays'}; inputs: {declared(slots)}",
        hint="save each array under its input's name",
    )


def declared(slots: Sequence[Slot]) -> str:
    """All inputs of both sides, for messages."""
    return listing(end.text for slot in slots for end in slot.ends) or "none"


def unanswered_inputs(wanting: Sequence[Slot], slots: Sequence[Slot]) -> InputError | None:
    """The error for data inputs of one side that none of the other's was found to answer; None where there are none."""
    alone = [slot for slot in slots if len(slot.ends) == 1 and slot.required and slot.derivable is None]
    ends = [slot.ends[0] for slot in alone if slot.ends[0].spec.shape != ()]
    if {end.role for end in ends} != {"reference", "candidate"} or not any(slot in alone for slot in wanting):
        return None
    ways = " ".join(f"--input {end.role}.{end.spec.name}=FILE" for end in ends)
    return InputError(
        "the two sides' inputs do not answer each other (by name, shape or order)",
        found=" against ".join(listing(end.text for end in ends if end.role == role) for role in ROLES),
        hint=f"give each side its own data: {ways}",
    )


def _named(given: Given, assignments: list[Assignment]) -> Assignment:
    name = given.name or ""
    exact = [
        assignment
        for assignment in assignments
        if any(end.spec.name == name and given.side in (None, end.role) for end in assignment.slot.ends)
    ]
    found = exact or [assignment for assignment in assignments if assignment.slot.answers_to(name, given.side)]
    if found:
        return found[0]
    whose = f"the {given.side} has" if given.side else "the models have"
    raise InputError(
        f"{whose} no input named {name!r}",
        found=f"inputs: {declared([assignment.slot for assignment in assignments])}",
        hint="use one of these names",
    )


def _place_in_order(
    waiting: list[Given], assignments: list[Assignment], preprocessing: Preprocessing, side: Role | None
) -> None:
    """Unnamed values go to the inputs that wait for one: all of them in order, or the one that alone can take it."""
    open_ones = [a for a in assignments if a.empty and (side is None or a.slot.end(side) is not None)]
    if side is not None:
        open_ones = [a for a in assignments if side not in a.own and a.slot.end(side) is not None]
    free = [a for a in open_ones if a.slot.required] or open_ones
    data = [a for a in free if a.slot.derivable is None]
    shared = [a for a in data if len(a.slot.ends) == 2]
    for places in (free, data, shared):
        if len(places) == len(waiting):
            return _give_all(waiting, places)
    if len(waiting) == 1:
        for places in (data, shared):
            likely = [a for a in places if _suits(waiting[0], a.slot, preprocessing)]
            if len(likely) == 1:
                return _give_all(waiting, likely)
    elif len(waiting) < len(data) and all(
        _suits(given, a.slot, preprocessing) for given, a in zip(waiting, data, strict=False)
    ):
        return _give_all(waiting, data[: len(waiting)])
    slots = [a.slot for a in open_ones]
    unanswered = unanswered_inputs(slots, slots) if side is None else None
    if unanswered is not None:
        raise unanswered
    what = (
        "cannot tell which input"
        + ("s" if len(waiting) > 1 else "")
        + f" to feed with {listing(g.source for g in waiting)}"
    )
    if len(waiting) > len(slots):
        what = f"more inputs were given than the models have: {listing(g.source for g in waiting)}"
    name = slots[0].name if slots else "NAME"
    raise InputError(what, found=f"inputs: {declared(slots)}", hint=f"name each: --input {name}=FILE")


def _give_all(waiting: list[Given], places: list[Assignment]) -> None:
    for given, place in zip(waiting, places, strict=True):
        place.give(given)


def _suits(given: Given, slot: Slot, preprocessing: Preprocessing) -> bool:
    if isinstance(given.value, Picture):
        from aligner.inputs.pictures import frames_of

        return frames_of(slot, preprocessing) is not None and any(end.spec.shape is not None for end in slot.ends)
    return suits(given.value, slot)
