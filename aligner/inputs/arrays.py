"""One logical array for both sides: batch axis, order of axes, dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.errors import InputError
from aligner.inputs.casting import Cast, cast, fed_dtype, stored_as
from aligner.inputs.fed import Fed, clipping_warning, describe, owned, shapes_differ
from aligner.inputs.layouts import (
    Axes,
    Layout,
    choose_axes,
    evident_layout,
    fits,
    is_open,
    layout_label,
    may_be_grey,
    shape_text,
)
from aligner.inputs.slots import End, Slot, compatible
from aligner.records.array import Array
from aligner.records.graph import Quantization


def feed_array(
    array: Array,
    slot: Slot,
    source: str,
    *,
    layout: Layout | None = None,
    dtype: str | None = None,
    stored: Quantization | None = None,
) -> tuple[Fed, ...]:
    """Give an array to every end of a slot, each in its own order of axes and dtype.

    ``layout`` is the array's own where the caller knows it; else it is read off the sizes if they are evident, else the
    reference's. It matters only where the sizes leave a choice. The rank changes by a missing batch axis of 1 only.
    Raises InputError when the array fits an end in no way.
    """
    placed = {end.role: _with_batch(array, end, slot) for end in slot.ends}
    axes = {end.role: _axes(placed[end.role], end, slot, layout) for end in slot.ends}
    if any(chosen is None for chosen in axes.values()):
        raise _unfit(array, slot, source, [end for end in slot.ends if axes[end.role] is None])
    if stored is None:
        stored = stored_as(array, slot.ends)
    feds = []
    for end in slot.ends:
        chosen = axes[end.role] or ()
        wanted = fed_dtype(end.spec, dtype, sole=end.sole) or _partners_dtype(end, slot, dtype)
        made = cast(placed[end.role].transpose(chosen), wanted, end, stored, source)
        feds.append(_fed(made, end, chosen, grew=placed[end.role].ndim > array.ndim))
    return tuple(feds)


def suits(array: Array, slot: Slot) -> bool:
    """Whether the array fits the shape that every end declares, in whatever layout."""
    return all(_axes(_with_batch(array, end, slot), end, slot, None) is not None for end in slot.ends)


def _partners_dtype(end: End, slot: Slot, forced: str | None) -> np.dtype[Any] | None:
    """What an end that declares nothing is fed: the other end's dtype, unless that is a quantised one's storage."""
    others = [other.spec for other in slot.ends if other is not end and other.spec.quantization is None]
    return fed_dtype(others[0], forced, sole=False) if others else None


def _with_batch(array: Array, end: End, slot: Slot) -> Array:
    """Add the batch axis that this end declares, or that the other does where this one declares nothing."""
    declared = end.spec.shape
    shapes = [declared] if declared is not None else [other.spec.shape for other in slot.ends]
    for shape in shapes:
        if shape is not None and len(shape) == array.ndim + 1 and shape[0] in (1, None):
            return array[np.newaxis]
    return array


def _axes(array: Array, end: End, slot: Slot, layout: Layout | None) -> Axes | None:
    """What may be no picture is fed to an open end as it is, unless that fails or a side opposite takes pictures so."""
    source, target = layout or evident_layout(array.shape) or slot.ends[0].layout, end.layout
    doubtful = not layout and may_be_grey(array.shape) and array.dtype != np.uint8 and not _takes_last(slot)
    if doubtful and is_open(end.spec.shape):
        source, target = ("last", "first") if end.side.turned else (None, None)
    return choose_axes(array.shape, end.spec.shape, source, target)


def _takes_last(slot: Slot) -> bool:
    return any(end.side.channels == "last" and not end.side.turned and not is_open(end.spec.shape) for end in slot.ends)


def _fed(made: Cast, end: End, axes: Axes, *, grew: bool) -> Fed:
    array = owned(made.array)
    remarks = list(made.remarks)
    if axes != tuple(range(len(axes))):
        target: Layout = "first" if len(axes) > 3 and axes[1] == len(axes) - 1 else "last"
        origin = layout_label(len(axes), "last" if target == "first" else "first") if len(axes) > 3 else f"axes {axes}"
        remarks.insert(0, f"transposed from {origin}" if len(axes) > 3 else f"transposed, {origin}")
    if grew:
        remarks.insert(0, "batch axis added")
    label = layout_label(array.ndim, end.layout) if array.ndim > 3 and fits(array.shape, end.spec.shape) else ""
    return Fed(end, array, axes, describe(array, end, *remarks, label=label), clipping_warning(end, made.clipped))


def _unfit(array: Array, slot: Slot, source: str, ends: list[End]) -> InputError:
    kind = "text" if array.dtype.kind == "O" else array.dtype.name
    given = f"{source} is {shape_text(array.shape)} {kind}"
    if len(slot.ends) == 2 and not compatible(slot.ends[0], slot.ends[1]):
        return shapes_differ(
            slot, f"the two sides declare input {slot.name} differently; one array cannot feed both", given
        )
    declared = ends[0].spec.shape or ()
    rank = "rank" if len(declared) != array.ndim else "shape"
    return InputError(
        f"{source} has the wrong {rank} for input {ends[0].spec.name}",
        found=f"{given}; wanted {', '.join(end.text for end in ends)}",
        hint="give an array of that shape (a layout change and a missing batch axis are handled)",
    )
