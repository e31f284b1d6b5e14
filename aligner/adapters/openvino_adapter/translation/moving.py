"""What moves whole tensors, or makes them of little."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import broadcast, concatenation, dealt, parts, reshaped, simple, tiled, transposed
from aligner.operations.operation import Operation
from aligner.operations.settings import Blocks, Fft, Pad, Roll, ShapeOf


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
    return parts(x, axis, (x.shape[axis] // count,) * count)


def _split_sizes(call: Call) -> Operation:
    """Operands input, axis, sizes; one size may be −1, the rest."""
    x = call.need(0)
    return parts(x, call.need_integers(1)[0] % x.ndim, call.need_integers(2))


def _blocks(call: Call) -> Operation:
    order = "CRD" if call.text("mode", "blocks_first") == "depth_first" else "DCR"
    settings = Blocks(
        block=call.integer("block", default=1), order=order, inverse=call.node.op == "SpaceToDepth", channels="first"
    )
    return Operation("depth_to_space", settings, (call.need(0),))


def _shuffle(call: Call) -> Operation:
    x = call.need(0)
    return dealt(x, call.axis(x.ndim, 1), call.integer("group", default=1))


def _roll(call: Call) -> Operation:
    """Operands input, shifts, axes; one shift may stand for all axes."""
    x, shifts = call.need(0), call.need_integers(1)
    axes = tuple(axis % x.ndim for axis in call.need_integers(2))
    return Operation("roll", Roll(axes=axes, shifts=shifts * len(axes) if len(shifts) == 1 else shifts), (x,))


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
    "Transpose": lambda call: transposed(call.need(0), call.integers(1)),
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), reshaped),
    "Broadcast": broadcast,
    "Tile": tiled,
    "Pad": _pad,
    "Split": _split,
    "VariadicSplit": _split_sizes,
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
    "ShuffleChannels": _shuffle,
    "Roll": _roll,
    "Range": simple("range", 3),
    "ShapeOf": simple("shape", 1, ShapeOf()),
}
