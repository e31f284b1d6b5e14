"""What moves whole tensors: shapes are those that were seen, where the node leaves them to be worked out."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary, of_kind
from aligner.operations.forms import broadcast, concatenation, parts, reshaped, tiled, transposed
from aligner.operations.operation import Operation
from aligner.operations.settings import Blocks, Pad, ReverseSequence
from aligner.operations.window import over_axes, pairs_of


def _pad(call: Call) -> Operation:
    """Amounts, value and axes in operands, or (before version 11) in attributes."""
    x, mode = call.need(0), call.text("mode", "constant")
    axes = call.integers(3) or tuple(range(x.ndim))
    if call.operand(1) is not None:
        flat = call.need_integers(1)
        pads = tuple(zip(flat[: len(axes)], flat[len(axes) :], strict=True))
    else:
        found = pairs_of(call.attributes.get("pads"), x.ndim)
        if found is None:
            raise call.unknown("padding of unknown amount")
        pads = found
    given = call.operand(2)
    value = given.reshape(-1)[0].item() if given is not None and given.size else call.number("value", default=0.0)
    settings = Pad(pads=over_axes(x.ndim, axes, pads, (0, 0)), mode=_PADDING.get(mode, mode), value=value)
    return Operation("pad", settings, (x,))


_PADDING = {"edge": "replicate", "wrap": "circular"}


def _split(call: Call) -> Operation:
    x = call.need(0)
    axis = call.axis(x.ndim, 0)
    given = call.integers(1) or call.numbers("split")
    if given:
        sizes = tuple(int(size) for size in given)
    else:
        count = len(call.node.outputs)
        whole = -(-x.shape[axis] // count)
        sizes = (*(whole,) * (count - 1), x.shape[axis] - whole * (count - 1))
    return parts(x, axis, sizes)


def _depth_to_space(call: Call) -> Operation:
    inverse = call.node.op == "SpaceToDepth"
    order = "DCR" if inverse else call.text("mode", "DCR").upper()
    settings = Blocks(block=call.integer("blocksize"), order=order, inverse=inverse, channels="first")
    return Operation("depth_to_space", settings, (call.need(0),))


@of_kind("reverse_sequence")
def _reverse_sequence(call: Call) -> Operation:
    x = call.need(0)
    settings = ReverseSequence(axis=call.integer("time_axis", default=0), batch=call.integer("batch_axis", default=1))
    return Operation("reverse_sequence", settings, (x, call.need(1)))


WORDS: Vocabulary = {
    "ReverseSequence": _reverse_sequence,
    "Concat": concatenation(1),
    "Transpose": lambda call: transposed(call.need(0), call.numbers("perm")),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaped),
    "Expand": broadcast,
    "Tile": tiled,
    "Pad": _pad,
    "Split": _split,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _depth_to_space,
}
