"""Whether a dump was made from another input than the one given: is there one that explains its first tensors?

Where the first recorded tensor depends on the input by an affine map, a small window of the input that gives the
recorded numbers is solved for. There are more numbers than unknowns, so a node that computes wrongly leaves a rest, and
a right node that was fed something else leaves none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from aligner.adapters.dumps.layout import centred_cosine
from aligner.adapters.dumps.own_model import OwnModel
from aligner.errors import listing
from aligner.operations.kinds import ACTIVATIONS, EXACT
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.tensor import CapturedTensor

_WIDTHS = (5, 7, 9, 12)
"""Widths of the window, tried until more numbers depend on it alone than it has."""
_MOST_UNKNOWN = 450
"""Limit of work: the widest window of a picture has 12 · 12 · 3 = 432 numbers, each of which takes a run."""
_SPARE = 1.2
"""Equations for each unknown: of numbers that no input explains √(1 − 1/1.2) = 0.41 is left, far above _EXPLAINED."""
_EXPLAINED = 0.02
"""Rest, relative to what is to be explained: float16 leaves about 0.001, a wrong kernel most of it."""
_AFFINE = 1e-4
"""Departure from f(a + b) = f(a) + f(b) − f(0) by rounding: u·(8 + √K) in float32, K up to 2.8 million products."""
_CLAMPS = EXACT & ACTIVATIONS
"""Kinds that give what they are given, or a limit."""
_FURTHEST = 3
"""Pixels by which a padding moves its input."""
_MOVED = 0.98
"""Cosine from which the window is the given input's, prepared or padded otherwise: what causes are sought for."""
_COLOURS = frozenset({3, 4})
Answer = Literal["given", "another"]


@dataclass(frozen=True, slots=True)
class OtherInput:
    """``name`` of the input that was another one; ``proven``: it has nothing in common with the given one.

    Not proven: only the first tensors differ, and the window has more unknowns than numbers.
    """

    name: str
    proven: bool


def other_input(own: OwnModel) -> OtherInput | None:
    """What is known of the input that the dump was made from; None where it is the given one, or one like it.

    It takes that every tensor computed from the input at once deviates, and nothing else does.
    """
    if not own.first or set(own.deviations) != own.first:
        return None
    answers = [_Window(own, value).solved() for value in sorted(own.first)]
    if "given" in answers:
        return None
    name = listing(own.graph.values[name].name for name in own.graph.inputs)
    return OtherInput(name, proven="another" in answers)


class _Window:
    """The middle of the one input that a first recorded value depends on."""

    def __init__(self, own: OwnModel, value: str) -> None:
        self._own, self._value = own, value

    def solved(self) -> Answer | None:
        """Which input explains the tensor; "given" too where none does; None where it cannot be told."""
        region = self._own.graph.region(self._own.recorded.keys(), self._value)
        read = {name for node in region for name in node.inputs if name in self._own.graph.inputs}
        if len(read) != 1:
            return None
        (name,) = read
        given = np.asarray(self._own.feeds[name]) if name in self._own.feeds else None
        if given is None or given.dtype.kind != "f" or given.ndim < 2 or not given.size:
            return None
        before, recorded, open_ones = self._unclamped()
        for width in _WIDTHS:
            window = tuple(slice((n - min(n, width)) // 2, (n + min(n, width)) // 2 or 1) for n in given.shape)
            if given[window].size > _MOST_UNKNOWN:
                return None
            solved = self._solve(name, given, window, before, recorded, open_ones)
            if solved is not None:
                return solved
        return None

    def _unclamped(self) -> tuple[str, Array, Array]:
        """The value before a clamp, what was recorded behind it, and which elements the clamp left as they were."""
        graph = self._own.graph
        recorded = np.asarray(self._own.recorded[self._value]().real(), np.float64)
        value, open_ones = self._value, np.isfinite(recorded)
        maker = graph.producer(value)
        while maker is not None and maker.kind in _CLAMPS and maker.inputs[0] in graph.values:
            open_ones &= (recorded > recorded.min()) & (recorded < recorded.max())
            value = maker.inputs[0]
            maker = graph.producer(value)
        return value, recorded, open_ones

    def _solve(
        self, name: str, given: Array, window: tuple[slice, ...], before: str, recorded: Array, open_ones: Array
    ) -> Answer | None:
        scale = float(np.abs(given).max()) or 1.0

        def answer(change: Array | float) -> Array:
            feeds = {**self._own.feeds, name: np.asarray(given + change, given.dtype)}
            tensors: list[CapturedTensor] = list(self._own.session.run(feeds, [before]))
            return np.asarray(tensors[0].real(), np.float64)

        plain = answer(0.0)
        moved_by = (
            _moved_by_window(answer, plain, given.shape, window, scale) if plain.shape == recorded.shape else None
        )
        if moved_by is None:
            return None
        rows = moved_by & open_ones
        places = np.argwhere(np.ones(given[window].shape, bool)) + [part.start for part in window]
        if rows.sum() < _SPARE * len(places):
            return None
        columns = []
        for place in places:
            change = np.zeros(given.shape)
            change[tuple(place)] = scale
            columns.append((answer(change) - plain)[rows] / scale)
        wanted, matrix = (recorded - plain)[rows], np.stack(columns, axis=1)
        moved, *_ = np.linalg.lstsq(matrix, wanted, rcond=1e-6)
        rest = float(np.linalg.norm(matrix @ moved - wanted))
        if rest > _EXPLAINED * float(np.linalg.norm(wanted)) or not np.linalg.norm(wanted):
            return "given"
        found = given[window] + moved.reshape(given[window].shape)
        return "given" if _is_alike(given, window, found) else "another"


def _moved_by_window(
    answer: Callable[[Array], Array], plain: Array, shape: tuple[int, ...], window: tuple[slice, ...], scale: float
) -> Array | None:
    """Which elements of an answer a window of the input moves, and nothing else; None where not by sums and factors."""
    rng, kept = np.random.default_rng(0), np.zeros(shape, bool)
    kept[window] = True
    one, two = (np.where(kept, scale * rng.standard_normal(shape), 0.0) for _ in range(2))
    left, right = answer(one), answer(two)
    size = float(np.abs(left - plain).max())
    if not size or float(np.abs(answer(one + two) - left - right + plain).max()) > _AFFINE * size:
        return None
    beside = np.where(kept, 0.0, scale * rng.standard_normal(shape))
    reached: Array = np.abs(left - plain) + np.abs(right - plain) > 1e-6 * size
    reached &= np.abs(answer(beside) - plain) <= 1e-6 * size
    return reached


def _is_alike(given: Array, window: tuple[slice, ...], found: Array) -> bool:
    """Whether a window is of the given input after all: scaled, shifted, its channels in another order."""
    own = np.asarray(given[window], np.float64)
    turned = [np.flip(found, axis) for axis in range(1, found.ndim) if found.shape[axis] in _COLOURS]
    return any(centred_cosine(one, own) >= _MOVED for one in (found, *turned)) or _is_moved(given, window, found)


def _is_moved(given: Array, window: tuple[slice, ...], found: Array) -> bool:
    """Whether it is what stands some pixels beside the window."""
    import itertools

    axes = [axis for axis, part in enumerate(window) if part.stop - part.start < given.shape[axis]]
    for steps in itertools.product(range(-_FURTHEST, _FURTHEST + 1), repeat=len(axes)):
        if not any(steps):
            continue
        beside = list(window)
        for axis, step in zip(axes, steps, strict=True):
            beside[axis] = slice(window[axis].start + step, window[axis].stop + step)
        if any(beside[axis].start < 0 or beside[axis].stop > given.shape[axis] for axis in axes):
            continue
        if centred_cosine(found, given[tuple(beside)]) >= _MOVED:
            return True
    return False
