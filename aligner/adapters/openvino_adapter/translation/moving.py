"""What moves whole tensors, or makes them of little."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import broadcast, concatenation, reshaped
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Blocks, Fft, Pad, Roll, ShapeOf, Split, Tile, Transpose


def _transpose(call: Call) -> Operation:
    x, perm = call.need(0), call.integers(1)
    axes = tuple(axis % x.ndim for axis in perm) if perm else tuple(reversed(range(x.ndim)))
    return Operation("transpose", Transpose(perm=axes), (x,))


def _tile(call: Call) -> Operation:
    x, repeats = call.need(0), call.need_integers(1)
    lead = len(repeats) - x.ndim
    x = x.reshape((1,) * lead + x.shape) if lead > 0 else x
    return Operation("tile", Tile(repeats=(1,) * -min(lead, 0) + repeats), (x,))


def _pad(call: Call) -> Operation:
    """Operands input, amounts at the begin and at the end, value; negative amounts crop."""
    x, begins, ends, given = call.need(0), call.need_integers(1), call.need_integers(2), call.operand(3)
    mode = call.text("pad_mode", "constant")
    value = given.reshape(-1)[0].item() if given is not None and given.size else 0.0
    pads = tuple(zip(begins, ends, strict=True))
    if any(amount < 0 for pair in pads for amount in pair):
        raise call.unknown("padding that crops")
    return Operation("pad", Pad(pads=pads, mode={"edge": "replicate"}.get(mode, mode), value=value), (x,))


def _split(call: Call) -> Operation:
    x, count = call.need(0), len(call.node.outputs)
    axis = call.need_integers(1)[0] % x.ndim
    return Operation("split", Split(axis=axis, sizes=(x.shape[axis] // count,) * count), (x,))


def _split_sizes(call: Call) -> Operation:
    """Operands input, axis, sizes; one size may be −1, the rest."""
    x, sizes = call.need(0), call.need_integers(2)
    axis = call.need_integers(1)[0] % x.ndim
    rest = x.shape[axis] - sum(size for size in sizes if size >= 0)
    return Operation("split", Split(axis=axis, sizes=tuple(rest if s < 0 else s for s in sizes)), (x,))


def _blocks(call: Call) -> Operation:
    order = "CRD" if call.text("mode", "blocks_first") == "depth_first" else "DCR"
    settings = Blocks(
        block=call.integer("block", default=1), order=order, inverse=call.node.op == "SpaceToDepth", channels="first"
    )
    return Operation("depth_to_space", settings, (call.need(0),))


def _shuffle(call: Call) -> Operation:
    """Channels dealt out to groups in turn, as rows of a table in another order."""
    import numpy as np

    x, groups = call.need(0), call.integer("group", default=1)
    axis = call.integer("axis", default=1) % x.ndim
    order = np.arange(x.shape[axis]).reshape(groups, -1).T.reshape(-1)
    return Operation("lookup", Along(axis=axis), (order,), {"table": x})


def _roll(call: Call) -> Operation:
    """Operands input, shifts, axes; one shift may stand for all axes."""
    x, shifts = call.need(0), call.need_integers(1)
    axes = tuple(axis % x.ndim for axis in call.need_integers(2))
    return Operation("roll", Roll(axes=axes, shifts=shifts * len(axes) if len(shifts) == 1 else shifts), (x,))


def _range(call: Call) -> Operation:
    return Operation("range", {}, (call.need(0), call.need(1), call.need(2)))


def _shape(call: Call) -> Operation:
    return Operation("shape", ShapeOf(), (call.need(0),))


_TRANSFORMS = {"DFT": "fft", "IDFT": "ifft", "RDFT": "rfft", "IRDFT": "irfft"}


def _transform(call: Call) -> Operation:
    """Operands input, axes, lengths (−1: as long as it is); complex numbers are a last axis, of which axes know not."""
    x, word = call.need(0), call.node.op
    rank = x.ndim if word == "RDFT" else x.ndim - 1
    axes = tuple(axis % rank for axis in call.need_integers(1))
    lengths = call.integers(2)
    if lengths is not None and -1 in lengths:
        raise call.unknown("lengths that are left open")
    if word == "IRDFT":
        x = x[..., 0] + 1j * x[..., 1]
    settings = Fft(
        form=_TRANSFORMS[word],
        lengths=lengths,
        axes=axes,
        pairs=word != "IRDFT",
        complex_input=word in {"DFT", "IDFT"},
    )
    return Operation("fft", settings, (x[..., None] if word == "RDFT" else x,))


WORDS: Vocabulary = {
    **dict.fromkeys(_TRANSFORMS, _transform),
    "Concat": concatenation(0),
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), reshaped),
    "Broadcast": broadcast,
    "Tile": _tile,
    "Pad": _pad,
    "Split": _split,
    "VariadicSplit": _split_sizes,
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
    "ShuffleChannels": _shuffle,
    "Roll": _roll,
    "Range": _range,
    "ShapeOf": _shape,
}
