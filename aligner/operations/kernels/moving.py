"""What only moves data: concatenation, transposition, reshaping, padding, depth to space, lookups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aligner.operations.kernels.convolution import padded
from aligner.operations.operation import (
    Call,
    Operation,
    Unsupported,
    channels_back,
    channels_first,
    computes,
    reads,
    wide,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@reads("concat")
def read_concat(call: Call) -> Operation:
    """Setting axis; ``stack`` is not a concatenation here."""
    data = tuple(operand for operand in call.operands if operand is not None)
    axis = call.attributes.get("axis", 0)
    if not data or not isinstance(axis, int) or "stack" in call.word or call.word in {"pack", "meshgrid", "blockdiag"}:
        raise Unsupported(call.node.op)
    return Operation("concat", {"axis": axis % data[0].ndim}, data)


@computes("concat")
def concatenate(operation: Operation) -> Array:
    """Along one axis."""
    import numpy as np

    return np.concatenate(operation.data, axis=operation.settings["axis"])


@reads("slice")
def read_slice(call: Call) -> Operation:
    """Setting places: (axis, start, end, step) of each, from operands, attributes or the text in brackets."""
    x = call.need(0)
    if isinstance(call.attributes.get("index"), str) and len(call.operands) == 1:
        return _read_index(x, str(call.attributes["index"]))
    if call.node.op == "aten::slice" and len(call.operands) == 1:
        given: list[Any] = [call.attributes.get(name, default) for name, default in _SLICE.items()]
        if not all(isinstance(number, int) for number in given) or given[3] < 1:
            raise Unsupported(call.node.op)
        return Operation("slice", {"places": (tuple(given),)}, (x,))
    return _read_operands(call, x)


_SLICE = {"axis": 0, "start": 0, "end": 2**63 - 1, "step": 1}


def _read_index(x: Array, text: str) -> Operation:
    """What stands between brackets: slices of the first axes, or numbers and new axes as well (setting index)."""
    index: list[Any] = []
    for part in text.split(", "):
        try:
            index.append(_indexed(part.strip()))
        except ValueError as exc:
            raise Unsupported(text) from exc
    if not all(isinstance(item, slice) and (item.step or 1) > 0 for item in index):
        return Operation("index", {"index": tuple(index)}, (x,))
    places = tuple(
        (axis, item.start or 0, 2**63 - 1 if item.stop is None else item.stop, item.step or 1)
        for axis, item in enumerate(index)
    )
    return Operation("slice", {"places": places}, (x,))


def _indexed(part: str) -> Any:
    if part in {"None", "..."}:
        return None if part == "None" else Ellipsis
    if ":" not in part:
        return int(part)
    return slice(*(int(number) if number else None for number in part.split(":")))


@computes("index")
def pick(operation: Operation) -> Array:
    """Numpy's own meaning of the brackets."""
    picked: Array = operation.data[0][operation.settings["index"]]
    return picked


def _read_operands(call: Call, x: Array) -> Operation:
    if call.node.op != "Slice" or len(call.operands) < 3:
        raise Unsupported(call.node.op)
    starts, ends = ([int(number) for number in call.need(place).reshape(-1)] for place in (1, 2))
    given = [call.operand(place) for place in (3, 4)]
    axes = [int(number) for number in given[0].reshape(-1)] if given[0] is not None else list(range(len(starts)))
    steps = [int(number) for number in given[1].reshape(-1)] if given[1] is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or min(steps, default=1) < 1:
        raise Unsupported(call.node.op)
    return Operation("slice", {"places": tuple(zip(axes, starts, ends, steps, strict=True))}, (x,))


@computes("slice")
def cut(operation: Operation) -> Array:
    """Parts of some axes."""
    x = operation.data[0]
    index = [slice(None)] * x.ndim
    for axis, start, end, step in operation.settings["places"]:
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


@reads("split")
def read_split(call: Call) -> Operation:
    """Parts as long as the first one was seen to be; settings axis, sizes, drop (without the axis)."""
    x, axis = call.need(0), call.attributes.get("axis", call.attributes.get("dim", 0))
    if not isinstance(axis, int) or call.shape is None or not x.ndim or not x.ndim - len(call.shape) <= 1:
        raise Unsupported(call.node.op)
    axis, drop = axis % x.ndim, len(call.shape) < x.ndim
    length = 1 if drop else call.shape[axis]
    if not length or math.ceil(x.shape[axis] / length) != len(call.node.outputs):
        raise Unsupported(call.node.op)
    return Operation("split", {"axis": axis, "sizes": (length,) * len(call.node.outputs), "drop": drop}, (x,))


@computes("split")
def split(operation: Operation) -> tuple[Array, ...]:
    """Every part in order, the last one as long as what is left."""
    import numpy as np

    axis, sizes = operation.settings["axis"], operation.settings["sizes"]
    parts = np.split(operation.data[0], np.cumsum(sizes)[:-1], axis=axis)
    return tuple(part.squeeze(axis) for part in parts) if operation.settings["drop"] else tuple(parts)


@reads("transpose")
def read_transpose(call: Call) -> Operation:
    """Setting perm."""
    perm, x = call.attributes.get("perm"), call.need(0)
    if not isinstance(perm, tuple) or len(perm) != x.ndim:
        raise Unsupported(call.node.op)
    return Operation("transpose", {"perm": tuple(int(p) % x.ndim for p in perm)}, (x,))


@computes("transpose")
def transpose(operation: Operation) -> Array:
    """Axes in another order."""
    moved: Array = operation.data[0].transpose(operation.settings["perm"])
    return moved


@reads("reshape")
def read_reshape(call: Call) -> Operation:
    """To the shape that was seen; settings ``before`` (an axis order applied first) is for hypotheses."""
    x = call.need(0)
    if call.shape is None:
        raise Unsupported("a reshape of unknown size")
    return Operation("reshape", {"shape": call.shape, "before": None}, (x,))


@computes("reshape")
def reshape(operation: Operation) -> Array:
    """The same elements in other axes."""
    x = operation.data[0]
    if operation.settings["before"] is not None:
        x = x.transpose(operation.settings["before"])
    result: Array = x.reshape(operation.settings["shape"])
    return result


@reads("pad")
def read_pad(call: Call) -> Operation:
    """Settings pads (for the last axes), mode, value."""
    x, attributes = call.need(0), call.attributes
    pads: Any = attributes.get("pads")
    if not isinstance(pads, tuple) or not all(isinstance(p, tuple) and len(p) == 2 for p in pads):
        raise Unsupported("padding of unknown amount")
    axes = attributes.get("axes")
    if isinstance(axes, tuple) and len(axes) == len(pads):
        every = [(0, 0)] * x.ndim
        for axis, pair in zip(axes, pads, strict=True):
            every[int(axis) % x.ndim] = pair
        pads = tuple(every)
    mode = str(attributes.get("mode", "constant"))
    mode = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    value = attributes.get("value", 0.0)
    lead = x.ndim - len(pads)
    pads = ((0, 0),) * lead + tuple((int(b), int(e)) for b, e in pads)
    settings = {"pads": pads, "mode": mode, "value": float(value) if isinstance(value, (int, float)) else 0.0}
    return Operation("pad", settings, (x,))


@computes("pad")
def pad(operation: Operation) -> Array:
    """All axes at once."""
    settings = operation.settings
    return padded(operation.data[0], settings["pads"], settings["mode"], settings["value"])


@reads("depth_to_space")
def read_depth_to_space(call: Call) -> Operation:
    """Settings block, order ("CRD" or "DCR"), inverse."""
    word, attributes = call.word.replace("_", ""), call.attributes
    block = call.number("blocksize", "block_size", "upscale_factor", "downscale_factor", default=0)
    if "batch" in word:
        return _read_batches(call)
    if not block:
        raise Unsupported(call.node.op)
    inverse = word in {"spacetodepth", "pixelunshuffle"}
    order = str(attributes.get("mode", "CRD" if word.startswith("pixel") else "DCR"))
    settings = {"block": int(block), "order": order, "inverse": inverse, "channels": call.channels}
    return Operation("depth_to_space", settings, (call.need(0),))


@computes("depth_to_space")
def depth_to_space(operation: Operation) -> Array:
    """Rank 4; CRD is PyTorch's pixel shuffle, DCR is TensorFlow's and ONNX's default."""
    settings = operation.settings
    x, b = channels_first(operation.data[0], settings["channels"]), settings["block"]
    n, c, h, w = x.shape
    if settings["inverse"]:
        parts = x.reshape(n, c, h // b, b, w // b, b)
        order = (0, 1, 3, 5, 2, 4) if settings["order"] == "CRD" else (0, 3, 5, 1, 2, 4)
        return channels_back(parts.transpose(order).reshape(n, c * b * b, h // b, w // b), settings["channels"])
    if settings["order"] == "CRD":
        parts = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    return channels_back(parts.reshape(n, c // (b * b), h * b, w * b), settings["channels"])


def _read_batches(call: Call) -> Operation:
    """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: settings block and amounts, (begin, end) for each axis cut."""
    block, amounts = call.operand(1), call.operand(2)
    if block is None or amounts is None or amounts.shape != (block.size, 2):
        raise Unsupported(call.node.op)
    pairs = tuple((int(begin), int(end)) for begin, end in amounts)
    settings = {
        "block": tuple(int(b) for b in block.reshape(-1)),
        "amounts": pairs,
        "axes": tuple(range(1, block.size + 1)),
    }
    return Operation("batch_to_space" if call.word.startswith("batch") else "space_to_batch", settings, (call.need(0),))


@computes("space_to_batch")
def space_to_batch(operation: Operation) -> Array:
    """Pad, cut every axis into steps of the block, and put the places within a block before the batch."""
    import numpy as np

    x, block = wide(operation.data[0]), operation.settings["block"]
    n, rank = x.shape[0], len(block)
    rest = x.shape[rank + 1 :]
    x = np.pad(x, [(0, 0), *operation.settings["amounts"], *((0, 0) for _ in rest)])
    steps = [size // b for size, b in zip(x.shape[1 : rank + 1], block, strict=True)]
    cut = [size for step, b in zip(steps, block, strict=True) for size in (step, b)]
    places, outer = [2 + 2 * k for k in range(rank)], [1 + 2 * k for k in range(rank)]
    order = [*places, 0, *outer, *range(2 * rank + 1, 2 * rank + 1 + len(rest))]
    result: Array = x.reshape(n, *cut, *rest).transpose(order).reshape(n * math.prod(block), *steps, *rest)
    return result


@computes("batch_to_space")
def batch_to_space(operation: Operation) -> Array:
    """The reverse, with crops for paddings."""
    x, block = wide(operation.data[0]), operation.settings["block"]
    rank, n = len(block), x.shape[0] // math.prod(block)
    steps, rest = x.shape[1 : rank + 1], x.shape[rank + 1 :]
    order = [rank, *(axis for k in range(rank) for axis in (rank + 1 + k, k))]
    order += range(2 * rank + 1, 2 * rank + 1 + len(rest))
    joined = [step * b for step, b in zip(steps, block, strict=True)]
    whole = x.reshape(*block, n, *steps, *rest).transpose(order).reshape(n, *joined, *rest)
    inside = [slice(b, size - e) for (b, e), size in zip(operation.settings["amounts"], joined, strict=True)]
    place: Any = (slice(None), *inside)
    result: Array = whole[place]
    return result


@reads("embedding", "gather")
def read_lookup(call: Call) -> Operation:
    """Rows of a weight, picked by indices: settings axis."""
    if call.word not in {"embedding", "gather", "index_select", "embedding_lookup"}:
        raise Unsupported(call.node.op)
    arrays = [operand for operand in call.operands if operand is not None]
    if len(arrays) < 2:
        raise Unsupported(call.node.op)
    integers = [a.dtype.kind in "iu" for a in arrays[:2]]
    if integers == [False, True]:
        table, indices = arrays[0], arrays[1]
    elif integers == [True, False]:
        indices, table = arrays[0], arrays[1]
    else:
        raise Unsupported(call.node.op)
    if call.word == "gather" and (call.node.op != "Gather" and call.node.op != "GATHER"):
        raise Unsupported(call.node.op)  # torch's gather picks along an axis element by element
    axis = call.attributes.get("axis", 0)
    return Operation("lookup", {"axis": axis if isinstance(axis, int) else 0}, (indices,), {"table": table})


@computes("lookup")
def look_up(operation: Operation) -> Array:
    """``numpy.take``; indices out of range wrap around."""
    import numpy as np

    table = operation.parameters["table"]
    return np.take(table, operation.data[0].astype(np.int64), axis=operation.settings["axis"], mode="wrap")


@reads("where")
def read_where(call: Call) -> Operation:
    """where(condition, a, b), and masked_fill(x, mask, value)."""
    import numpy as np

    data = [operand for operand in call.operands if operand is not None]
    if call.word.startswith("masked_fill") and len(data) >= 2:
        value = data[2] if len(data) > 2 else np.asarray(call.number("value", default=0.0))
        return Operation("where", {}, (data[1], value, data[0]))
    for place, names in ((1, ("self", "input")), (2, ("other",))):
        if len(data) < 3 and any(isinstance(call.attributes.get(name), (int, float)) for name in names):
            data.insert(place, np.asarray(call.number(*names, default=0.0)))
    if len(data) != 3:
        raise Unsupported(call.node.op)
    return Operation("where", {}, (data[0], data[1], data[2]))


@computes("where")
def choose(operation: Operation) -> Array:
    """Element by element."""
    import numpy as np

    condition, left, right = operation.data
    return np.where(condition.astype(bool), left, right)


@reads("expand")
def read_expand(call: Call) -> Operation:
    """To the shape that was seen."""
    if call.shape is None:
        raise Unsupported("an expansion of unknown size")
    return Operation("expand", {"shape": call.shape}, (call.need(0),))


@computes("expand")
def expand(operation: Operation) -> Array:
    """Broadcast to a shape."""
    import numpy as np

    return np.broadcast_to(wide(operation.data[0]), operation.settings["shape"])
