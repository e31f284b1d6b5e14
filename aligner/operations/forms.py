"""Translations that frameworks share, where operands stand in the order of the operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from aligner.operations.call import Call, OfKind, Translation, Vocabulary
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import (
    Along,
    Approximated,
    Cast,
    Compare,
    GatherNd,
    Index,
    OneHot,
    Quantize,
    Reduce,
    Reshape,
    RunningSum,
    ScatterElements,
    ScatterNd,
    Settings,
    Shaped,
    Slice,
    Split,
    Tile,
    Transpose,
)
from aligner.records.array import Array
from aligner.records.graph import Quantization

_WORD_START = re.compile("(?<=[a-z])(?=[A-Z])")
TO_THE_END = 2**63 - 1
"""Where a slice ends that says no end."""


def vocabulary(package: str, path: Iterable[str]) -> Vocabulary:
    """The words of all modules of a package that list their own as ``WORDS``."""
    modules = (import_module(f"{package}.{found.name}") for found in iter_modules(path))
    return {word: translation for module in modules for word, translation in getattr(module, "WORDS", {}).items()}


def translated(words: Vocabulary, call: Call) -> Operation:
    """By the word of the node; raises Unsupported for one that is not among these."""
    found = words.get(call.node.op)
    if found is None:
        raise call.unknown()
    return found(call)


def spelled(words: str) -> dict[str, str]:
    """Word → kind of words that spell it: SquaredDifference, SQUARED_DIFFERENCE."""
    return {word: _WORD_START.sub("_", word).lower() for word in words.split()}


def simple(kind: str, count: int = 1, settings: Settings | None = None) -> Translation:
    """Of the first ``count`` operands, told the same by every node."""
    return OfKind(kind, lambda call: Operation(kind, settings or {}, tuple(map(call.need, range(count)))))


def of_one(kinds: Mapping[str, str]) -> Vocabulary:
    """Word → kind of a function of one element that is told nothing."""
    return {word: simple(kind) for word, kind in kinds.items()}


def of_two(kinds: Mapping[str, str]) -> Vocabulary:
    """Word → kind of arithmetic on two tensors."""
    return {word: simple(kind, 2) for word, kind in kinds.items()}


def comparisons(forms: Mapping[str, str]) -> Vocabulary:
    """Word → numpy's word for the comparison."""
    return {word: simple("compare", 2, Compare(form=form)) for word, form in forms.items()}


def with_constants(kind: str, **defaults: float | tuple[str, float]) -> Translation:
    """A function with constants: those that the node says, by these names or others, else the defaults."""
    said = {name: one if isinstance(one, tuple) else (name, one) for name, one in defaults.items()}

    def translate(call: Call) -> Operation:
        found = {name: call.number(attribute, default=default) for name, (attribute, default) in said.items()}
        return Operation(kind, found, (call.need(0),))

    return OfKind(kind, translate)


def gelu(x: Array, *, tanh: bool) -> Operation:
    """Exact, or by tanh."""
    return Operation("gelu", Approximated(approximate="tanh" if tanh else "none"), (x,))


def prelu(x: Array, slope: Array, channels: int) -> Operation:
    """The slope broadcasts; ``channels`` is its axis where its shape does not show one."""
    long = [x.ndim - slope.ndim + axis for axis, size in enumerate(slope.shape) if size != 1]
    return Operation("prelu", Along(axis=long[0] if len(long) == 1 else channels), (x,), {"slope": slope})


def cast(call: Call) -> Operation:
    """To the dtype of its result, else to the one that the node says."""
    to = call.dtype() or call.attributes.get("to")
    if not to:
        raise call.unknown("an unknown dtype")
    return Operation("cast", Cast(to=str(to)), (call.need(0),))


def quantized(x: Array, grid: Quantization, axis: int | None, limits: tuple[int, int]) -> Operation:
    """Real numbers rounded to a grid."""
    parameters = {"scale": np.asarray(grid.scale), "zero": np.asarray(grid.zero_point)}
    return Operation("quantize", Quantize(axis=axis, limits=limits, stored=False), (x,), parameters)


def of_all(kind: str) -> Translation:
    """An operation of any number of tensors: of two, else of the first two at a time."""

    def translate(call: Call) -> Operation:
        left, *others = call.given
        if not others:
            return Operation("identity", {}, (left,))
        for other in others[:-1]:
            left = compute(Operation(kind, {}, (left, other)))
        return Operation(kind, {}, (left, others[-1]))

    return OfKind(kind, translate)


def quotient(call: Call) -> Operation:
    """Whole numbers are divided towards zero."""
    whole = all(operand.dtype.kind in "iu" for operand in call.given)
    return Operation("trunc_divide" if whole else "div", {}, (call.need(0), call.need(1)))


def reductions(forms: Mapping[str, str]) -> Vocabulary:
    """Word → form of a reduction along the axes that operand 1 names."""

    def translate(call: Call) -> Operation:
        x = call.need(0)
        axes = tuple(sorted({axis % x.ndim for axis in call.need_integers(1)})) if x.ndim else ()
        keep = call.flag("keepdims")
        return reduced(x, forms[call.node.op], axes, keep=keep)

    return dict.fromkeys(forms, translate)


def reduced(x: Array, form: str, axes: tuple[int, ...], *, keep: bool) -> Operation:
    """Along axes that count from the front; a variance divides by the count less one."""
    return Operation("reduce", Reduce(form=form, axes=axes, keep=keep, correction=1.0), (x,))


def running_sum(call: Call) -> Operation:
    """Along the axis that operand 1 names, or the node."""
    x, given = call.need(0), call.integers(1)
    axis = given[0] % x.ndim if given else call.axis(x.ndim)
    settings = RunningSum(axis=axis, reverse=call.flag("reverse"), exclusive=call.flag("exclusive"))
    return Operation("cumsum", settings, (x,))


def concatenation(axis: int) -> Translation:
    """Of all operands that are there, along this axis where none is said."""

    def translate(call: Call) -> Operation:
        data = tuple(call.given)
        if not data:
            raise call.unknown("nothing to join")
        return Operation("concat", Along(axis=call.axis(data[0].ndim, axis)), data)

    return translate


def stacked(call: Call) -> Operation:
    """All operands that are there, along a new axis."""
    data = tuple(call.given)
    return Operation("stack", Along(axis=call.axis(data[0].ndim + 1, 0)), data)


def parts(x: Array, axis: int, sizes: Sequence[int], *, drop: bool = False) -> Operation:
    """Along an axis that counts from the front; one size may be −1, the rest. ``drop``: each part loses the axis."""
    rest = x.shape[axis] - sum(size for size in sizes if size >= 0)
    whole = tuple(rest if size < 0 else size for size in sizes)
    return Operation("split", Split(axis=axis, sizes=whole, drop=drop), (x,))


def transposed(x: Array, perm: Sequence[int] | None) -> Operation:
    """Axes in this order, turned round where none is said."""
    axes = tuple(int(axis) % x.ndim for axis in perm) if perm else tuple(reversed(range(x.ndim)))
    return Operation("transpose", Transpose(perm=axes), (x,))


def reshaped(call: Call) -> Operation:
    """To the shape that was seen."""
    return Operation("reshape", Reshape(shape=call.need_shape()), (call.need(0),))


def broadcast(call: Call) -> Operation:
    """To the shape that was seen."""
    return Operation("expand", Shaped(shape=call.need_shape()), (call.need(0),))


def tiled(call: Call) -> Operation:
    """Operands input, repeats of its last axes, or of more axes than it has."""
    x, repeats = call.need(0), call.need_integers(1)
    lead = len(repeats) - x.ndim
    x = x.reshape((1,) * lead + x.shape) if lead > 0 else x
    return Operation("tile", Tile(repeats=(1,) * -min(lead, 0) + repeats), (x,))


def dealt(x: Array, axis: int, groups: int) -> Operation:
    """Channels dealt out to groups in turn, as rows of a table in another order."""
    order = np.arange(x.shape[axis]).reshape(groups, -1).T.reshape(-1)
    return lookup(x, order, axis)


def lookup(table: Array, indices: Array, axis: int) -> Operation:
    """Rows of a table, along an axis."""
    return Operation("lookup", Along(axis=axis), (indices,), {"table": table})


def indexed(x: Array, index: Sequence[Any]) -> Operation:
    """What numpy gives for what stands between its brackets: a slice where all axes are cut forwards."""
    if all(isinstance(item, slice) and (item.step or 1) > 0 for item in index):
        places = tuple(
            (axis, item.start or 0, TO_THE_END if item.stop is None else item.stop, item.step or 1)
            for axis, item in enumerate(index)
        )
        return Operation("slice", Slice(places=places), (x,))
    return Operation("index", Index(index=tuple(index)), (x,))


def strided_slice(call: Call, said: Callable[[str, int], bool]) -> Operation:
    """Operands input, begin, end, strides; whether a mask names a place: an open end, an axis that goes or comes."""
    begins, ends = call.need_integers(1), call.need_integers(2)
    index: list[Any] = []
    for place, bounds in enumerate(zip(begins, ends, call.integers(3) or (1,) * len(begins), strict=True)):
        begin, end, step = bounds
        if said("ellipsis", place):
            index.append(Ellipsis)
        elif said("new_axis", place):
            index.append(None)
        elif said("shrink_axis", place):
            index.append(begin)
        else:
            index.append(slice(None if said("begin", place) else begin, None if said("end", place) else end, step))
    return indexed(call.need(0), index)


def gather_elements(call: Call) -> Operation:
    """One element for each index, along an axis."""
    x = call.need(0)
    return Operation("gather_elements", Along(axis=call.axis(x.ndim, 0)), (x, call.need(1)))


def gather_nd(call: Call) -> Operation:
    """Operands input, indices."""
    batch = call.integer("batch_dims", "batch", default=0)
    return Operation("gather_nd", GatherNd(batch=batch), (call.need(0), call.need(1)))


def scatter_nd(call: Call) -> Operation:
    """Operands input, indices, updates."""
    settings = ScatterNd(reduction=call.text("reduction", "none"))
    return Operation("scatter_nd", settings, (call.need(0), call.need(1), call.need(2)))


def scatter_elements(call: Call, axis: int) -> Operation:
    """Operands input, indices, updates."""
    x = call.need(0)
    settings = ScatterElements(axis=axis % x.ndim, reduction=call.text("reduction", "none"))
    return Operation("scatter_elements", settings, (x, call.need(1), call.need(2)))


def one_hot(call: Call) -> Operation:
    """Operands indices, depth, on, off."""
    indices = call.need(0)
    settings = OneHot(depth=call.need_integers(1)[0], axis=call.axis(indices.ndim + 1, -1), wrap=False)
    return Operation("one_hot", settings, (indices, call.need(2), call.need(3)))
