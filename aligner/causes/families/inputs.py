"""The candidate is fed something else: channels, scale, mean and deviation, layout, size. The graph is innocent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, held
from aligner.causes.context import Context
from aligner.causes.families.layout import moves
from aligner.causes.picture import channel_axis
from aligner.records.array import Array
from aligner.regions.culprit import Culprit

Transformations = Iterator[tuple[str, Callable[[], "Array | None"], int]]
"""Words, what the candidate would read, and how many numbers were solved for to make it."""

_KNOWN = (
    (255.0, 0.0, "0…255 instead of 0…1"),
    (1 / 255, 0.0, "0…1 instead of 0…255"),
    (2.0, -1.0, "−1…1 instead of 0…1"),
    (0.5, 0.5, "0…1 instead of −1…1"),
    (127.5, 127.5, "0…255 instead of −1…1"),
    (1 / 127.5, -1.0, "−1…1 instead of 0…255"),
)


_NOTABLE = 0.02
"""Distance of a factor from one, and of an offset from zero, below which an inner tensor tells of no other scaling."""
_ALIKE = 1e-3
"""Relative spread of mean and deviation over channels below which one number is meant for all of them."""


class InputCause(Cause):
    """What the reference is fed is transformed, and its first region recomputed where there is one."""

    outside: ClassVar[bool] = True
    advice: ClassVar[str] = "prepare the candidate's input as the reference's is prepared"
    shown: ClassVar[str] = "The first region is computed again from the input, prepared otherwise."
    vague_inside: ClassVar[bool] = True
    """Where the graph inputs agree and a first region behaves as if they did not: a node may do that itself."""

    anywhere: ClassVar[bool] = False
    """May be done to what the region makes as well as to what it reads."""

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every transformation of every graph input that the region starts from."""
        graph = culprit.reference.graph
        own = (culprit.reference.output,)
        names = culprit.reference.region.inputs or own
        for name in names + own if self.anywhere and names != own else names:
            array = culprit.reference.array(name)
            if array is None or array.dtype.kind not in "fiu" or not self.reaches(culprit, name):
                continue
            itself, fed = name == culprit.reference.output, name in graph.inputs
            alike = fed and not itself and _fed_alike(context, name)
            if alike and self.vague_inside and _read_rightly(context, culprit, name):
                continue
            for words, build, parameters in self.transformations(array, culprit, name):
                yield Claim(
                    f"{culprit.where} computes as if the input {graph.values[name].name} were fed with {words}"
                    if alike
                    else f"the candidate is fed {words} at input {graph.values[name].name}"
                    if fed
                    else f"{culprit.where} reads the picture ({graph.values[name].name}) with {words}",
                    self.advice,
                    "with the input prepared as the reference's",
                    _fed(culprit, name, build, itself=itself),
                    vague=not itself and self.vague_inside,
                    parameters=parameters,
                    node=graph.values[name].name if itself and fed else culprit.where,
                )

    def reaches(self, culprit: Culprit, name: str) -> bool:
        """Whether what this cause does to an input may be seen in a value that the region starts from."""
        return name in culprit.reference.graph.inputs

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """Words, and what the candidate would read."""
        return iter(())


def _fed_alike(context: Context, name: str) -> bool:
    """Whether both sides are fed the same numbers at an input: what is wrong is done inside."""
    return any(
        m.pair.reference == name and context.verdicts.get(m.pair.candidate) == "aligned" for m in context.measured
    )


def _read_rightly(context: Context, culprit: Culprit, name: str) -> bool:
    """Whether another node reads the same input and is right: what was done to the input it would have seen too."""
    return any(
        name in m.pair.reference_region.inputs
        and m.pair is not culprit.measured.pair
        and m.local is not None
        and context.verdicts.get(m.pair.candidate) == "aligned"
        for m in context.measured
        if m.pair.reference_region.nodes and m.pair.reference != name
    )


def _fed(culprit: Culprit, name: str, build: Callable[[], Array | None], *, itself: bool) -> Callable[[], Array | None]:
    def predict() -> Array | None:
        array = build()
        if array is None or itself:
            return array
        return culprit.swapped(culprit.reference, name, array)()

    return predict


class InputChannelOrder(InputCause):
    """BGR instead of RGB, in the picture or in the kernel that reads it."""

    id: ClassVar[str] = "input-channel-order"
    fix: ClassVar[str] = "give both sides RGB or both BGR"
    example: ClassVar[str] = "a picture read by OpenCV on one side"
    anywhere: ClassVar[bool] = True
    vague_inside: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "give both sides RGB or both BGR: reorder the picture's channels, or the inputs of the kernel that reads them"
    )

    def reaches(self, culprit: Culprit, name: str) -> bool:
        """The picture may be scaled, padded and turned before its channels are mixed."""
        return channel_axis(culprit.reference, name) is not None

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """Every order of up to four channels."""
        axis = channel_axis(culprit.reference, name)
        if axis is not None:
            for order in sorted(permutations(range(array.shape[axis])), reverse=True):
                if order != tuple(range(array.shape[axis])):
                    yield f"its channels in the order {order}", held(np.take(array, order, axis=axis)), 0


class InputScale(InputCause):
    """0…255 instead of 0…1, or the scaling done twice."""

    id: ClassVar[str] = "input-scale"
    fix: ClassVar[str] = "scale the input alike on both sides, once"
    example: ClassVar[str] = "0…255 fed where 0…1 is expected"

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """The usual ranges, then the factor and offset that fit."""
        for factor, offset, words in _KNOWN:
            yield words, held(array * factor + offset), 0
        fitted = affine(culprit, name, array, None)
        if fitted is not None:
            factor, offset = float(fitted[0][0]), float(fitted[1][0])
            if name != culprit.reference.output and abs(factor - 1) < _NOTABLE and abs(offset) < _NOTABLE:
                return  # nobody prepares pictures like that, and the graph inputs agree: a node does it
            yield f"{factor:.6g} · x + {offset:.3g} instead of x", held(array * factor + offset), 2


class InputMeanStd(InputCause):
    """Another mean and deviation for each channel, or none."""

    id: ClassVar[str] = "input-mean-std"
    fix: ClassVar[str] = "subtract the same mean and divide by the same deviation on both sides"
    example: ClassVar[str] = "ImageNet statistics on one side only"

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """A factor and an offset for each channel, as they fit."""
        axis = channel_axis(culprit.reference, name)
        fitted = affine(culprit, name, array, axis) if axis is not None else None
        if fitted is None or axis is None:
            return
        if all(float(part.max() - part.min()) <= _ALIKE * float(abs(part).max() + 1) for part in fitted):
            return  # one factor and one offset for all channels: the scale
        across = [1] * array.ndim
        across[axis] = array.shape[axis]
        factors, offsets = (part.reshape(across) for part in fitted)
        listed = [", ".join(f"{value:.4g}" for value in part) for part in fitted]
        yield (
            f"each channel times ({listed[0]}) plus ({listed[1]})",
            held((array * factors + offsets).astype(array.dtype)),
            2 * array.shape[axis],
        )


def affine(culprit: Culprit, name: str, array: Array, axis: int | None) -> tuple[Array, Array] | None:
    """The factors and offsets of the input (for each channel, or one) that explain the candidate's output best.

    Exact where the region is linear in its input, as a first convolution is: the output is then a sum of the replays of
    each channel alone and of ones in its place.
    """
    target = culprit.found
    if target is None or target.dtype.kind != "f" or max(array.size, target.size) > 1 << 22:
        return None
    parts = []
    count = 1 if axis is None else array.shape[axis]
    for channel in range(count):
        mask = np.zeros(array.shape, dtype=np.float32)
        mask[(slice(None),) * (axis or 0) + (channel,) if axis is not None else ...] = 1
        parts += [array * mask, mask]
    itself = name == culprit.reference.output
    if itself:
        base: Array | None = np.zeros_like(target)
        columns: list[Array | None] = list(parts)
    else:
        base = culprit.swapped(culprit.reference, name, 0 * array)()
        columns = [culprit.swapped(culprit.reference, name, part.astype(array.dtype))() for part in parts]
    if base is None or any(column is None or column.shape != target.shape for column in columns):
        return None
    matrix = np.stack([(c - base).reshape(-1).astype(np.float64) for c in columns if c is not None], axis=1)
    wanted = (target - base).reshape(-1).astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.isfinite(matrix).all():
        return None
    solution, *_ = np.linalg.lstsq(
        matrix.T @ np.where(finite[:, None], matrix, 0), matrix.T @ np.where(finite, wanted, 0), rcond=None
    )
    return (solution[0::2], solution[1::2]) if all(math.isfinite(v) for v in solution) else None


class InputLayout(InputCause):
    """Reshaped where it should be transposed; rows and columns exchanged."""

    id: ClassVar[str] = "input-layout"
    fix: ClassVar[str] = "transpose the input, do not reshape it"
    example: ClassVar[str] = "NHWC reshaped to NCHW"

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """Every transposition that fits, and every one reshaped back."""
        for perm, moved in moves(array):
            if moved.shape == array.shape:
                yield f"its axes in the order {perm}", held(moved), 0
            yield f"its elements as if the axes were {perm}", held(moved.reshape(array.shape)), 0


class InputResize(Cause):
    """The same picture, resampled or cropped otherwise."""

    id: ClassVar[str] = "input-resize"
    fix: ClassVar[str] = "resize the picture once and feed both models the same array"
    example: ClassVar[str] = "bilinear on one side, area on the other"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Related values where the two inputs differ; not proven without the raw picture."""
        from aligner.numerics.relations import correlation

        if culprit.reference.nodes or culprit.candidate.nodes or culprit.expected is None or culprit.found is None:
            return
        alike = correlation(culprit.expected, culprit.found)
        if alike > 0.3:
            yield Claim(
                f"the two sides are fed different pictures (correlation {alike:.3f}) that no scaling, channel order or "
                "layout explains: resampled, blurred or cropped otherwise",
                self.fix,
                node=culprit.where,
            )


class InputDtype(InputCause):
    """Numbers cut to integers on their way in, wrapped around or clipped."""

    id: ClassVar[str] = "input-dtype"
    fix: ClassVar[str] = "feed floats; cast after scaling, not before"
    example: ClassVar[str] = "pictures of 0…1 cast to uint8"

    def transformations(self, array: Array, culprit: Culprit, name: str) -> Transformations:
        """Integers of eight bits, wrapped or clipped, and halves; a node that quantises has causes of its own."""
        if culprit.candidate.of_kind("quantize"):
            return
        for word in ("int8", "uint8"):
            limits = np.iinfo(word)
            wrapped = np.trunc(array).astype(np.int64).astype(word).astype(array.dtype)
            yield f"{word} numbers, wrapped around", held(wrapped), 0
            yield f"{word} numbers, clipped", held(np.clip(np.trunc(array), limits.min, limits.max)), 0
        yield "whole numbers", held(np.rint(array)), 0
        yield "whole numbers, cut off", held(np.trunc(array)), 0
