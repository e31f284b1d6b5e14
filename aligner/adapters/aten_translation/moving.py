"""What moves whole tensors; results of views have the shapes that were seen."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary, of_kind
from aligner.operations.forms import broadcast, parts, reshaped, stacked, transposed
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Blocks, Flip, Pad, Repeat, Roll, Shaped, Tile


def _concat(call: Call) -> Operation:
    data = tuple(operand for operand in call.given if operand.ndim != 1 or operand.size)  # an empty list of old
    if not data:
        raise call.unknown("nothing to join")
    return Operation("concat", Along(axis=call.axis(data[0].ndim, 0)), data)


def _along(axis: int) -> Any:
    """hstack, vstack: along an axis, for tensors that have it."""

    def translate(call: Call) -> Operation:
        data = tuple(call.given)
        if any(operand.ndim <= axis for operand in data):
            raise call.unknown("tensors of few axes")
        return Operation("concat", Along(axis=axis), data)

    return translate


def _reshape(call: Call) -> Operation:
    if call.attributes.get("dtype") is not None:
        raise call.unknown("a view of other bits")
    return reshaped(call)


def _copy(call: Call) -> Operation:
    """What takes another tensor's place, and its shape; the last operand."""
    if call.dtype() != str(call.given[-1].dtype):
        raise call.unknown("a copy of another type")
    return Operation("expand", Shaped(shape=call.need_shape()), (call.given[-1],))


def _permuted(call: Call) -> Operation:
    x, perm = call.need(0), call.numbers("perm")
    if perm is None or len(perm) != x.ndim:
        raise call.unknown("an unknown order")
    return transposed(x, perm)


def _exchanged(call: Call) -> Operation:
    """Two axes in each other's place."""
    x = call.need(0)
    if call.numbers("perm") is not None:
        return _permuted(call)
    axes = [call.attributes.get(name) for name in ("dim0", "dim1")]
    if not all(isinstance(axis, int) for axis in axes):
        axes = [call.attributes.get(name) for name in ("axis0", "axis1")]
    perm = list(range(x.ndim))
    first, second = (int(axis) % x.ndim for axis in axes)  # type: ignore[arg-type]
    perm[first], perm[second] = perm[second], perm[first]
    return transposed(x, perm)


def _last_two(call: Call) -> Operation:
    x = call.need(0)
    if call.numbers("perm") is not None:
        return _permuted(call)
    perm = list(range(x.ndim))
    perm[-2:] = perm[:-3:-1]
    return transposed(x, perm)


def _moved(call: Call) -> Operation:
    """movedim(source, destination): the others keep their order."""
    x, source, target = call.need(0), call.numbers("source"), call.numbers("destination")
    if source is None or target is None:
        raise call.unknown("unknown axes")
    left = [axis for axis in range(x.ndim) if axis not in {int(s) % x.ndim for s in source}]
    perm = [-1] * x.ndim
    for one, other in zip(source, target, strict=True):
        perm[int(other) % x.ndim] = int(one) % x.ndim
    rest = iter(left)
    return transposed(x, [axis if axis >= 0 else next(rest) for axis in perm])


def _repeat(call: Call) -> Operation:
    x, repeats = call.need(0), call.numbers("repeats") or call.numbers("dims")
    if repeats is None:
        raise call.unknown("unknown repeats")
    if None in repeats:  # computed as the model runs: the result shows how often
        sizes = (1,) * (len(repeats) - x.ndim) + x.shape
        if 0 in sizes:
            raise call.unknown("unknown repeats")
        repeats = tuple(whole // size for whole, size in zip(call.need_shape(), sizes, strict=True))
    return Operation("tile", Tile(repeats=tuple(int(count) for count in repeats)), (x,))


def _interleaved(call: Call) -> Operation:
    axis, repeats = call.attributes.get("axis", call.attributes.get("dim")), call.attributes.get("repeats")
    if not isinstance(repeats, int):
        given = call.integers(1)
        if given is None:
            raise call.unknown("unknown repeats")
        repeats = given if len(given) > 1 else given[0]  # type: ignore[assignment]
    return Operation("repeat", Repeat(repeats=repeats, axis=axis if isinstance(axis, int) else None), (call.need(0),))


def _flip(call: Call) -> Operation:
    x, axes = call.need(0), call.numbers("dims")
    if axes is None:
        raise call.unknown("unknown axes")
    return Operation("flip", Flip(axes=tuple(int(axis) % x.ndim for axis in axes)), (x,))


def _roll(call: Call) -> Operation:
    shifts, axes = call.numbers("shifts"), call.numbers("dims")
    if shifts is None or not axes or len(shifts) != len(axes):
        raise call.unknown("a roll of the flattened tensor")
    return Operation("roll", Roll(shifts=shifts, axes=axes), (call.need(0),))


def _pad(call: Call) -> Operation:
    """Amounts for the last axes, which come with their places already turned round."""
    x, said = call.need(0), call.attributes.get("pads")
    if not isinstance(said, tuple) or not all(isinstance(p, tuple) and len(p) == 2 for p in said):
        raise call.unknown("padding of unknown amount")
    pads = ((0, 0),) * (x.ndim - len(said)) + said
    if any(not isinstance(amount, int) for pair in said for amount in pair):
        grown = [wide - size for wide, size in zip(call.need_shape(), x.shape, strict=True)]
        pads = tuple(_completed(call, pair, more) for pair, more in zip(pads, grown, strict=True))
    settings = Pad(pads=pads, mode=call.text("mode", "constant"), value=call.number("value", default=0.0))
    return Operation("pad", settings, (x,))


def _completed(call: Call, pair: tuple[int | None, int | None], total: int) -> tuple[int, int]:
    """An amount that the model computes follows from the other one and what the axis grew by."""
    begin, end = pair
    if begin is None and end is None:
        if total:
            raise call.unknown("padding of unknown amount")
        return 0, 0
    return (total - (end or 0) if begin is None else begin), (total - (begin or 0) if end is None else end)


def _split(call: Call) -> Operation:
    """Parts of a given length, or of given lengths; what the results were seen to be where the call is mute."""
    x = call.need(0)
    axis, outputs = call.axis(x.ndim, 0), len(call.node.outputs)
    sizes = []
    for place in range(outputs):
        shape = call.shape_of(place)
        if shape is None or len(shape) != x.ndim:
            raise call.unknown("parts of unknown size")
        sizes.append(shape[axis])
    if sum(sizes) != x.shape[axis]:
        raise call.unknown("parts that were not seen")
    return parts(x, axis, sizes)


def _unbind(call: Call) -> Operation:
    x = call.need(0)
    axis = call.axis(x.ndim, 0)
    if x.shape[axis] != len(call.node.outputs):
        raise call.unknown("parts that were not seen")
    return parts(x, axis, (1,) * x.shape[axis], drop=True)


def _shuffle(*, inverse: bool) -> Any:
    """A channel's number reads (channel, row, column)."""

    def translate(call: Call) -> Operation:
        block = call.integer("downscale_factor" if inverse else "upscale_factor", "upscale_factor")
        x = call.need(0)
        if x.ndim != _RANK:
            raise call.unknown("other than four axes")
        settings = Blocks(block=block, order="CRD", inverse=inverse, channels="first")
        return Operation("depth_to_space", settings, (x,))

    return translate


_RANK = 4
_VIEWS = (
    "reshape view flatten unflatten squeeze unsqueeze ravel view_as reshape_as unsafe_view atleast_1d atleast_2d "
    "atleast_3d"
).split()

WORDS: Vocabulary = {
    **dict.fromkeys("cat concat concatenate".split(), of_kind("concat")(_concat)),
    "stack": stacked,
    "hstack": _along(1),
    "vstack": _along(0),
    **dict.fromkeys(_VIEWS, of_kind("reshape")(_reshape)),
    **dict.fromkeys("expand expand_as broadcast_to".split(), of_kind("expand")(broadcast)),
    "copy": _copy,
    "permute": of_kind("transpose")(_permuted),
    **dict.fromkeys("transpose swapaxes swapdims".split(), of_kind("transpose")(_exchanged)),
    **dict.fromkeys("mT adjoint".split(), of_kind("transpose")(_last_two)),
    **dict.fromkeys("t T numpy_T".split(), lambda call: transposed(call.need(0), None)),
    **dict.fromkeys("movedim moveaxis".split(), of_kind("transpose")(_moved)),
    **dict.fromkeys("repeat tile".split(), _repeat),
    "repeat_interleave": _interleaved,
    "flip": _flip,
    "roll": _roll,
    **dict.fromkeys(
        (
            "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
            "replication_pad2d replication_pad3d"
        ).split(),
        of_kind("pad")(_pad),
    ),
    **dict.fromkeys(
        "chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split unsafe_split_with_sizes".split(),
        of_kind("split")(_split),
    ),
    "unbind": _unbind,
    "iter": _unbind,
    "pixel_shuffle": _shuffle(inverse=False),
    "pixel_unshuffle": _shuffle(inverse=True),
}
