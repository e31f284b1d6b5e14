"""What moves blobs, joins them, cuts them, or adds them up along axes."""

from __future__ import annotations

from aligner.adapters.ncnn_adapter.translation.norms import axis_of
from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import dealt, parts, reduced, reshaped, transposed
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import Along, Blocks, Pad, Slice

_ORDERS: dict[int, list[tuple[int, ...]]] = {
    2: [(0, 1), (1, 0)],
    3: [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)],
}
"""Axes of a blob without samples → where each comes from, by the number of the order."""
_BORDERS = {0: "constant", 1: "replicate", 2: "reflect"}
_FORMS = {0: "sum", 3: "mean", 4: "max", 5: "min", 6: "prod", 7: "l1", 8: "l2"}


def _concat(call: Call) -> Operation:
    data = tuple(call.given)
    if not data:
        raise call.unknown("nothing to join")
    axis = axis_of(call.integer("p0", default=0), data[0].ndim)
    return Operation("concat", Along(axis=axis), data)


def _slice(call: Call) -> Operation:
    """Into parts whose sizes the results show."""
    x = call.need(0)
    axis = axis_of(call.integer("p1", default=0), x.ndim)
    sizes = tuple(call.need_shape(place)[axis] for place in range(len(call.node.outputs)))
    return parts(x, axis, sizes)


def _crop(call: Call) -> Operation:
    """Only the form with starts (9), ends (10) and axes (11)."""
    x = call.need(0)
    starts, ends, axes = (call.numbers(f"p{number}") for number in (9, 10, 11))
    if not (starts and ends) or len(call.given) > 1:
        raise call.unknown("another form than starts and ends")
    axes = axes or tuple(range(len(starts)))
    places = []
    for start, end, axis in zip(starts, ends, axes, strict=True):
        place = axis_of(int(axis), x.ndim)
        limit = x.shape[place]
        last = limit if end in (-233, 2147483647) else end + limit if end < 0 else min(int(end), limit)
        first = 0 if start == -233 else start + limit if start < 0 else int(start)
        places.append((place, int(first), int(last), 1))
    return Operation("slice", Slice(places=tuple(places)), (x,))


def _permute(call: Call) -> Operation:
    x = call.need(0)
    orders = _ORDERS.get(x.ndim - 1, [])
    order = call.integer("p0", default=0)
    if not 0 <= order < len(orders):
        raise call.unknown(f"order {order} of {x.ndim - 1} axes")
    return transposed(x, (0, *(axis + 1 for axis in orders[order])))


def _pad(call: Call) -> Operation:
    """Parameters top, bottom, left, right, mode, value, then front and behind."""
    x = call.need(0)
    top, bottom, left, right, mode = (call.integer(f"p{number}", default=0) for number in range(5))
    front, behind = call.integer("p7", default=0), call.integer("p8", default=0)
    if mode not in _BORDERS or len(call.given) > 1 or call.integer("p6", default=0):
        raise call.unknown("a border of its own for each channel")
    inner = ((front, behind), (top, bottom), (left, right))
    pads = (*((0, 0),) * (x.ndim - 3), *inner)[-x.ndim :] if x.ndim > 3 else ((0, 0), *inner[4 - x.ndim :])
    return Operation("pad", Pad(pads=pads, mode=_BORDERS[mode], value=call.number("p5", default=0.0)), (x,))


def _shuffle_pixels(call: Call) -> Operation:
    order = "DCR" if call.flag("p1") else "CRD"
    settings = Blocks(block=call.integer("p0", default=1), order=order, inverse=False, channels="first")
    return Operation("depth_to_space", settings, (call.need(0),))


def _shuffle_channels(call: Call) -> Operation:
    x, groups = call.need(0), call.integer("p0", default=1)
    if call.flag("p1"):
        groups = x.shape[1] // max(groups, 1)
    if groups < 1 or x.shape[1] % groups:
        raise call.unknown("groups that do not divide the channels")
    return dealt(x, 1, groups)


def _reduce(call: Call) -> Operation:
    """Axes in parameter 3, all of them where 1 says so; 2 is a factor behind the sum."""
    x, form = call.need(0), _FORMS.get(call.integer("p0", default=0))
    if form is None or call.number("p2", default=1.0) != 1.0:
        raise call.unknown("another form, or a factor")
    axes = call.numbers("p3")
    every = call.integer("p1", default=1) == 1
    if axes and all(int(axis) == 0 for axis in axes) and call.integer("p5", default=0) == 0:
        raise call.unknown("axes that count otherwise")
    places = tuple(range(1, x.ndim)) if every or not axes else tuple(axis_of(int(a), x.ndim) for a in axes)
    result = reduced(x, form, tuple(sorted(places)), keep=call.flag("p4"))
    shape = call.shape
    if shape is not None and compute(result).shape != shape:  # a blob has at least one axis
        raise call.unknown("a result of another shape")
    return result


WORDS: Vocabulary = {
    **dict.fromkeys(["Reshape", "Flatten", "Squeeze", "ExpandDims"], reshaped),
    "Concat": _concat,
    "Slice": _slice,
    "Crop": _crop,
    "Permute": _permute,
    "Padding": _pad,
    "PixelShuffle": _shuffle_pixels,
    "ShuffleChannel": _shuffle_channels,
    "Reduction": _reduce,
}
