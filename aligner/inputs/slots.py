"""Which input of one side answers which of the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace

from aligner.inputs.conventions import derivable_kind
from aligner.inputs.items import Role, SideInfo
from aligner.inputs.layouts import (
    PICTURE_CHANNELS,
    Layout,
    channel_axis,
    choose_axes,
    evident_layout,
    shape_text,
)
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import is_floating
from aligner.records.graph import InputSpec, Shape


@dataclass(frozen=True, slots=True)
class End:
    """One side's end of a logical input."""

    role: Role
    spec: InputSpec
    side: SideInfo

    @property
    def layout(self) -> Layout | None:
        """Where this end has its channels: by its sizes, else by its side's convention where the sizes are silent.

        None when the sizes are all declared and none of them can be channels of a picture.
        """
        shape = self.spec.shape
        evident = evident_layout(shape)
        if evident or shape is None:
            return evident or self.side.channels
        if len(shape) not in (4, 5):
            return None
        size = shape[channel_axis(len(shape), self.side.channels)]
        return self.side.channels if size is None or size in PICTURE_CHANNELS else None

    @property
    def sole(self) -> bool:
        """Whether its model requires no other input."""
        return sum(spec.required for spec in self.side.signature.inputs) <= 1

    @property
    def text(self) -> str:
        """The declaration, for messages: "candidate.x 1×3×128×128 float32"."""
        return f"{self.role}.{self.spec.name} ({shape_text(self.spec.shape)} {self.spec.dtype or 'of any dtype'})"


@dataclass(frozen=True, slots=True)
class Slot:
    """A logical input: one end for each side that has it, the reference's first."""

    ends: tuple[End, ...]

    @property
    def name(self) -> str:
        return self.ends[0].spec.name

    @property
    def required(self) -> bool:
        return any(end.spec.required for end in self.ends)

    @property
    def derivable(self) -> str | None:
        """How its value follows from its name, where it does: "zeros", "ones", "range"."""
        return next(filter(None, (derivable_kind(end.spec) for end in self.ends)), None)

    def end(self, role: Role) -> End | None:
        return next((end for end in self.ends if end.role == role), None)

    def answers_to(self, name: str, role: Role | None = None) -> bool:
        """Whether the input may be fed under this name, on one side or on either."""
        ends = [end for end in self.ends if role in (None, end.role)]
        return any(bare_name(name) in map(bare_name, end.side.known_as(end.spec)) for end in ends)


def bare_name(name: str) -> str:
    """The name without what TensorFlow's exporters wrap around it ("serving_default_x:0" → "x")."""
    return re.sub(r":\d+$", "", name).removeprefix("serving_default_")


def match_inputs(
    reference: SideInfo,
    candidate: SideInfo | None,
    *,
    own: Collection[tuple[Role, str]] = (),
    settings: Collection[str] = (),
    unnamed: int = 0,
) -> list[Slot]:
    """Pair the inputs of both sides: by name, by a shape that fits only one, then by order.

    Where that leaves a choice, inputs that are no data are set aside: states and masks, single numbers (``settings``
    names those the user gave as one), and what the user feeds to one side alone (``own``). A single data input left on
    each side makes a pair, so that feeding can say how the two differ. The rest become slots with a single end.
    An input that stands for any number of tensors (``*args``) is as many as the other side has, or as are given
    ``unnamed``.
    """
    left = [End("reference", spec, reference) for spec in reference.signature.inputs]
    right = [End("candidate", spec, candidate) for spec in candidate.signature.inputs] if candidate else []
    many = unnamed if all(len(ends) < 2 for ends in (left, right)) else 0
    left, right = _spread(left, max(len(right), many)), _spread(right, max(len(left), many))
    order, pairs = [end.spec.name for end in left], list[tuple[End, End]]()

    def is_data(end: End) -> bool:
        setting = end.spec.shape == () or any(name in end.side.known_as(end.spec) for name in settings)
        return end.spec.required and not derivable_kind(end.spec) and not setting

    _take(left, right, pairs, lambda a, b: a.spec.name == b.spec.name)
    _take(left, right, pairs, _share_a_name)
    _match_rest(left, right, pairs, lambda _: True)
    _match_rest(left, right, pairs, lambda end: end.spec.required)
    _match_rest(left, right, pairs, is_data)
    _match_rest(left, right, pairs, lambda end: is_data(end) and not _is_own(end, own))
    _match_last(left, right, pairs, is_data)
    slots = [Slot(pair) for pair in pairs] + [Slot((end,)) for end in (*left, *right)]
    return sorted(slots, key=lambda slot: order.index(slot.name) if slot.end("reference") else len(order))


def _spread(ends: list[End], count: int) -> list[End]:
    """An input that stands for any number of tensors, as so many."""
    if count < 2 or len(ends) != 1 or not ends[0].spec.variadic:
        return ends
    spec = replace(ends[0].spec, variadic=False)
    return [replace(ends[0], spec=replace(spec, name=f"{spec.name}.{place}")) for place in range(count)]


def compatible(reference: End, candidate: End) -> bool:
    """Whether one array could feed both: shapes equal up to layout, dtypes of one kind (pictures may be uint8)."""
    a, b = reference.spec, candidate.spec
    if not _same_kind(a, b):
        return False
    return a.shape is None or b.shape is None or common_axes(reference, candidate) is not None


def common_axes(reference: End, candidate: End) -> tuple[int, ...] | None:
    """Axes from the reference's declared order to the candidate's; None when their shapes cannot agree."""
    if reference.spec.shape is None:
        return None
    return choose_axes(reference.spec.shape, candidate.spec.shape, reference.layout, candidate.layout)


def merged_shape(slot: Slot) -> tuple[End, Shape] | None:
    """The declared shape in one end's order, its unknown sizes filled from the other end; None if none is declared.

    The caller has made sure that two declared shapes agree.
    """
    known = [end for end in slot.ends if end.spec.shape is not None]
    if not known or (base := known[0]).spec.shape is None:
        return None
    shape = list(base.spec.shape)
    if len(known) == 2 and (other := known[1].spec.shape) is not None:
        axes = common_axes(known[0], known[1]) or ()
        for position, axis in enumerate(axes):
            shape[axis] = other[position] if shape[axis] is None else shape[axis]
    return base, tuple(shape)


def _take(left: list[End], right: list[End], pairs: list[tuple[End, End]], same: Callable[[End, End], bool]) -> None:
    for end in list(left):
        found = [other for other in right if same(end, other)]
        if len(found) == 1:
            pairs.append((end, found[0]))
            left.remove(end)
            right.remove(found[0])


def _share_a_name(a: End, b: End) -> bool:
    return bool({*map(bare_name, a.side.known_as(a.spec))} & {*map(bare_name, b.side.known_as(b.spec))})


def _match_rest(
    left: list[End], right: list[End], pairs: list[tuple[End, End]], eligible: Callable[[End], bool]
) -> None:
    """Pair the eligible ones: where the fit is unique both ways, then in order if every one then fits."""
    ones, others = [end for end in left if eligible(end)], [end for end in right if eligible(end)]
    found = [(a, b) for a in ones for b in others if compatible(a, b)]
    unique = [(a, b) for a, b in found if sum(a is x for x, _ in found) == 1 and sum(b is y for _, y in found) == 1]
    if len(ones) == len(others) and all(compatible(a, b) for a, b in zip(ones, others, strict=True)):
        unique = unique if len(unique) == len(ones) else list(zip(ones, others, strict=True))
    elif any(end.spec.shape is None for end in (*ones, *others)):
        return  # an undeclared shape fits everything; with unequal counts that is no evidence
    for a, b in unique:
        pairs.append((a, b))
        left.remove(a)
        right.remove(b)


def _match_last(
    left: list[End], right: list[End], pairs: list[tuple[End, End]], eligible: Callable[[End], bool]
) -> None:
    ones, others = [end for end in left if eligible(end)], [end for end in right if eligible(end)]
    if len(ones) == len(others) == 1:
        pairs.append((ones[0], others[0]))
        left.remove(ones[0])
        right.remove(others[0])


def _is_own(end: End, own: Collection[tuple[Role, str]]) -> bool:
    return any(role == end.role and name in end.side.known_as(end.spec) for role, name in own)


def _same_kind(a: InputSpec, b: InputSpec) -> bool:
    kinds = {_kind(spec) for spec in (a, b)} - {None}
    if len(kinds) < 2:
        return True
    shape = a.shape or b.shape
    return kinds == {"number", "integer"} and "uint8" in (a.dtype, b.dtype) and (shape is None or len(shape) >= 3)


def _kind(spec: InputSpec) -> str | None:
    if spec.dtype is None:
        return None
    if spec.quantization or is_floating(spec.dtype):
        return "number"
    return "integer" if "int" in spec.dtype else spec.dtype
