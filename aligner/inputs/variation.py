"""A second input made from the first: other values or signs, one sample more, another size; both stay the same data.

What was right on the first input only because the model was traced with it shows on the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from aligner.inputs.fed import describe
from aligner.inputs.items import Correspondence, PreparedFeeds, Role, SideInfo
from aligner.inputs.layouts import evident_layout, spatial_axes
from aligner.inputs.slots import End
from aligner.records.array import Array, Wide
from aligner.records.comparison import FedInput
from aligner.records.dataclass import dataclass

Change = Literal["values", "sign", "batch", "size"]
_STEP = 32
"""Sizes grow by the largest power of two that divides them, this one at most: networks halve them again and again."""
_EIGHT_BITS = 255
_ALIKE = 1e-3
"""Of the range: what a resize in another library, or eight bits, leave between two forms of one picture: 1 / 255 /
4."""


@dataclass(frozen=True, slots=True, eq=False)
class _Twin:
    """One logical input: its name, its array and what is declared of it, on each side."""

    names: tuple[str, str]
    arrays: tuple[Array, Array]
    shapes: tuple[tuple[int | None, ...] | None, ...]
    axes: tuple[int, ...]

    def open(self, axis: int) -> bool:
        """Whether both sides allow another size along this axis of the reference's array."""
        places = axis, self.axes.index(axis)
        return all(shape is None or shape[place] is None for shape, place in zip(self.shapes, places, strict=True))

    def declared_open(self, axis: int) -> bool:
        """Whether both allow it and one says so."""
        places = axis, self.axes.index(axis)
        return self.open(axis) and any(
            shape is not None and shape[place] is None for shape, place in zip(self.shapes, places, strict=True)
        )


def varied(fed: PreparedFeeds, change: Change, reference: SideInfo, candidate: SideInfo) -> PreparedFeeds | None:
    """The feeds with something changed for both sides alike; None where nothing can be, or a side does not allow it."""
    twins = list(_twins(fed, reference, candidate))
    made: dict[tuple[str, str], tuple[Array, Array] | None]
    if change == "values":
        made = {twin.names: _with_other_values(twin) for twin in twins}
    elif change == "sign":
        floats = [twin for twin in twins if all(array.dtype.kind == "f" for array in twin.arrays)]
        made = {twin.names: (np.negative(twin.arrays[0]), np.negative(twin.arrays[1])) for twin in floats}
    elif change == "batch":
        made = _with_a_sample_more(twins)
    else:
        made = _with_other_sizes(twins, reference)
    found = {names: arrays for names, arrays in made.items() if arrays is not None}
    if not found:
        return None
    left = dict(fed.reference) | {names[0]: np.ascontiguousarray(arrays[0]) for names, arrays in found.items()}
    right = dict(fed.candidate or {}) | {names[1]: np.ascontiguousarray(arrays[1]) for names, arrays in found.items()}
    arrays: dict[Role, Mapping[str, Array]] = {"reference": left, "candidate": right}
    rows = _described(fed, arrays, {"reference": reference, "candidate": candidate})
    return replace(fed, reference=left, candidate=right, fed=rows)


def _twins(fed: PreparedFeeds, reference: SideInfo, candidate: SideInfo) -> Iterator[_Twin]:
    for item in fed.correspondence:
        arrays = _arrays(fed, item)
        if arrays is None or arrays[0].dtype.kind not in "fiub" or arrays[1].dtype.kind not in "fiub":
            continue
        axes = item[2] or tuple(range(arrays[0].ndim))
        if len(axes) != arrays[0].ndim or arrays[0].transpose(axes).shape != arrays[1].shape:
            continue
        specs = [side.spec(name) for side, name in zip((reference, candidate), item[:2], strict=True)]
        shapes = tuple(None if spec is None else spec.shape for spec in specs)
        if all(shape is None or len(shape) == arrays[0].ndim for shape in shapes):
            yield _Twin(item[:2], arrays, shapes, axes)


def _arrays(fed: PreparedFeeds, item: Correspondence) -> tuple[Array, Array] | None:
    left, right = fed.reference.get(item[0]), (fed.candidate or {}).get(item[1])
    return None if left is None or right is None else (left, right)


def _with_other_values(twin: _Twin) -> tuple[Array, Array] | None:
    """Upside down in half of the range: sums change their sign where they can, largest and smallest values change too.

    Nothing leaves the range of the first input, so that no kernel meets numbers of a kind it has not met before.
    """
    parts = [_unit(array) for array in twin.arrays]
    if parts[0] is None or parts[1] is None or not np.allclose(parts[0].transpose(twin.axes), parts[1], atol=_ALIKE):
        return None
    levels = min((_levels(array) for array in twin.arrays), default=np.inf)
    upper = float(twin.arrays[0].mean(dtype=np.float64)) < 0
    turn = _turned(levels, whole=all(array.dtype.kind in "iub" for array in twin.arrays), upper=upper)
    return _placed(twin.arrays[0], turn(parts[0])), _placed(twin.arrays[1], turn(parts[1]))


def _unit(array: Array) -> Wide | None:
    """The values moved to 0…1; None for what is constant, empty or not finite."""
    if not array.size:
        return None
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return None
    return np.asarray((array.astype(np.float64) - low) / (high - low))


def _levels(array: Array) -> float:
    return float("inf") if array.dtype.kind == "f" else float(array.max()) - float(array.min())


def _turned(levels: float, *, whole: bool, upper: bool) -> Callable[[Wide], Wide]:
    """Numbers between 0 and 1, upside down; ``levels`` steps are all there are of them on the coarser side."""

    def turn(unit: Wide) -> Wide:
        if whole and not _EIGHT_BITS // 2 <= levels <= _EIGHT_BITS:
            moved = np.asarray(1 - unit)  # ids and masks: any of them may be asked for, and half of a mask is none
        else:
            moved = (0.5 if upper else 0.1) + 0.4 * (1 - unit)
        return np.asarray(moved if levels == float("inf") else np.rint(moved * levels) / levels)

    return turn


def _placed(array: Array, unit: Wide) -> Array:
    low, high = float(array.min()), float(array.max())
    values = low + unit * (high - low)
    return np.asarray(values if array.dtype.kind == "f" else np.rint(values)).astype(array.dtype)


def _with_a_sample_more(twins: Sequence[_Twin]) -> dict[tuple[str, str], tuple[Array, Array] | None]:
    """One more sample at the end, with other values; nothing where one input has a fixed batch."""
    batched = [twin for twin in twins if twin.arrays[0].ndim > 1 and twin.axes[0] == 0]
    sizes = {twin.arrays[0].shape[0] for twin in batched}
    if len(sizes) != 1 or not all(twin.open(0) for twin in batched):
        return {}
    made: dict[tuple[str, str], tuple[Array, Array] | None] = {}
    for twin in batched:
        others = _with_other_values(twin) or twin.arrays
        left, right = (np.concatenate([a, o[:1]]) for a, o in zip(twin.arrays, others, strict=True))
        made[twin.names] = left, right
    return made


def _with_other_sizes(twins: Sequence[_Twin], reference: SideInfo) -> dict[tuple[str, str], tuple[Array, Array] | None]:
    """Larger pictures, unequally so; longer sequences where a side declares their length open."""
    made: dict[tuple[str, str], tuple[Array, Array] | None] = {}
    for twin in twins:
        growth = _growth(twin, reference)
        if growth:
            left = _extended(twin.arrays[0], growth)
            made[twin.names] = left, _extended(twin.arrays[1], {twin.axes.index(a): n for a, n in growth.items()})
    return made


def _growth(twin: _Twin, reference: SideInfo) -> Mapping[int, int]:
    shape = twin.arrays[0].shape
    if len(shape) in (4, 5):
        layout = evident_layout(twin.shapes[0] or shape) or reference.channels
        axes = [axis for axis in spatial_axes(len(shape), layout) if twin.open(axis)]
        return {axis: (1 + place) * _step(shape[axis]) for place, axis in enumerate(axes)}
    return {axis: _step(shape[axis]) for axis in range(1, len(shape)) if twin.declared_open(axis)}


def _step(size: int) -> int:
    return min(size & -size, _STEP) if size else 0


def _extended(array: Array, growth: Mapping[int, int]) -> Array:
    widths = [(0, growth.get(axis, 0)) for axis in range(array.ndim)]
    return np.pad(array, widths, mode="wrap")


def _described(
    fed: PreparedFeeds, arrays: Mapping[Role, Mapping[str, Array]], sides: Mapping[Role, SideInfo]
) -> tuple[FedInput, ...]:
    """What was fed, in the words of the report, with the new arrays' shapes and ranges."""
    words = {item[0]: item[1] for item in fed.correspondence}
    rows = []
    for row in fed.fed:
        names: dict[Role, str] = {"reference": row.name, "candidate": words.get(row.name, row.name)}
        texts = {}
        for role, name in names.items():
            array = arrays[role].get(name)
            spec = sides[role].spec(name)
            texts[role] = describe(array, End(role, spec, sides[role])) if array is not None and spec else None
        given = (row.reference, row.candidate)
        rows.append(
            FedInput(
                row.name,
                texts["reference"] if given[0] else None,
                texts["candidate"] if given[1] else None,
                f"{row.source}, changed for a second run",
            )
        )
    return tuple(rows)
