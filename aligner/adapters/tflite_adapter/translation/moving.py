"""What moves whole tensors."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import broadcast, concatenation, reshaped
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, BatchBlocks, Blocks, Flip, Pad, Split, Tile, Transpose


def _pack(call: Call) -> Operation:
    data = tuple(call.given)
    return Operation("stack", Along(axis=call.integer("axis", default=0) % (data[0].ndim + 1)), data)


def _unpack(call: Call) -> Operation:
    x = call.need(0)
    axis = call.integer("axis", default=0) % x.ndim
    return Operation("split", Split(axis=axis, sizes=(1,) * x.shape[axis], drop=True), (x,))


def _split(call: Call) -> Operation:
    """Operands axis, input: equal parts."""
    x, count = call.need(1), len(call.node.outputs)
    axis = call.need_integers(0)[0] % x.ndim
    return Operation("split", Split(axis=axis, sizes=(x.shape[axis] // count,) * count, drop=False), (x,))


def _split_sizes(call: Call) -> Operation:
    """Operands input, sizes, axis; one size may be −1, the rest."""
    x, sizes = call.need(0), call.need_integers(1)
    axis = call.need_integers(2)[0] % x.ndim
    rest = x.shape[axis] - sum(size for size in sizes if size >= 0)
    sizes = tuple(rest if size < 0 else size for size in sizes)
    return Operation("split", Split(axis=axis, sizes=sizes, drop=False), (x,))


def _transpose(call: Call) -> Operation:
    x = call.need(0)
    return Operation("transpose", Transpose(perm=tuple(axis % x.ndim for axis in call.need_integers(1))), (x,))


def _tile(call: Call) -> Operation:
    return Operation("tile", Tile(repeats=call.need_integers(1)), (call.need(0),))


def _reverse(call: Call) -> Operation:
    x = call.need(0)
    return Operation("flip", Flip(axes=tuple(axis % x.ndim for axis in call.need_integers(1))), (x,))


def _pad(call: Call) -> Operation:
    """Amounts [axes, 2] in an operand; the value behind them where there is one."""
    value, mode = call.operand(2), "constant"
    if call.node.op == "MIRROR_PAD":
        value, mode = None, call.text("mode", "")
        if mode not in {"reflect", "symmetric"}:
            raise call.unknown("mirrored in an unknown way")
    pads = tuple((int(begin), int(end)) for begin, end in call.need(1))
    filled = value.reshape(-1)[0].item() if value is not None else 0.0
    return Operation("pad", Pad(pads=pads, mode=mode, value=filled), (call.need(0),))


def _depth_to_space(call: Call) -> Operation:
    inverse = call.node.op == "SPACE_TO_DEPTH"
    settings = Blocks(block=call.integer("block_size"), order="DCR", inverse=inverse, channels="last")
    return Operation("depth_to_space", settings, (call.need(0),))


def _batches(call: Call) -> Operation:
    """Operands input, block, amounts [axes, 2]: paddings, or crops on the way back."""
    block, amounts = call.need_integers(1), call.need(2)
    settings = BatchBlocks(block=block, amounts=tuple((int(begin), int(end)) for begin, end in amounts))
    kind = "batch_to_space" if call.node.op == "BATCH_TO_SPACE_ND" else "space_to_batch"
    return Operation(kind, settings, (call.need(0),))


WORDS: Vocabulary = {
    "CONCATENATION": concatenation(0),
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "TRANSPOSE": _transpose,
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshaped),
    "BROADCAST_TO": broadcast,
    "TILE": _tile,
    "REVERSE_V2": _reverse,
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _depth_to_space,
    "SPACE_TO_BATCH_ND": _batches,
    "BATCH_TO_SPACE_ND": _batches,
}
