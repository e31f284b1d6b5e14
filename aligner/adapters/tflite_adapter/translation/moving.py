"""What moves whole tensors."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import broadcast, concatenation, parts, reshaped, stacked, tiled, transposed
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchBlocks, Blocks, Flip, Pad


def _unpack(call: Call) -> Operation:
    x = call.need(0)
    axis = call.axis(x.ndim, 0)
    return parts(x, axis, (1,) * x.shape[axis], drop=True)


def _split(call: Call) -> Operation:
    """Operands axis, input: equal parts."""
    x, count = call.need(1), len(call.node.outputs)
    axis = call.need_integers(0)[0] % x.ndim
    return parts(x, axis, (x.shape[axis] // count,) * count)


def _split_sizes(call: Call) -> Operation:
    """Operands input, sizes, axis; one size may be −1, the rest."""
    x = call.need(0)
    return parts(x, call.need_integers(2)[0] % x.ndim, call.need_integers(1))


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
    "PACK": stacked,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "TRANSPOSE": lambda call: transposed(call.need(0), call.need_integers(1)),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshaped),
    "BROADCAST_TO": broadcast,
    "TILE": tiled,
    "REVERSE_V2": _reverse,
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _depth_to_space,
    "SPACE_TO_BATCH_ND": _batches,
    "BATCH_TO_SPACE_ND": _batches,
}
