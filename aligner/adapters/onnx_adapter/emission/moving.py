"""What moves, picks and places elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.rewriting import Step
from aligner.operations.operation import Unsupported
from aligner.records.array import Array


def _concat(w: Writer, step: Step) -> str:
    return w("Concat", *map(w.operand, step.data), axis=step.operation.settings["axis"])


def _stack(w: Writer, step: Step) -> str:
    axis, rank = step.operation.settings["axis"], step.operation.data[0].ndim + 1
    parts = [w.along("Unsqueeze", w.operand(part), [axis % rank]) for part in step.data]
    return w("Concat", *parts, axis=axis % rank)


def _transpose(w: Writer, step: Step) -> str:
    return w("Transpose", w.operand(step.data[0]), perm=[int(axis) for axis in step.operation.settings["perm"]])


def _reshape(w: Writer, step: Step) -> str:
    """Sizes in front that stay are copied, so that another batch fits too."""
    x, before = step.operation.data[0], step.operation.settings["before"]
    name, shape = w.operand(step.data[0]), x.shape
    if before is not None:
        name, shape = w.transpose(name, before), tuple(x.shape[axis] for axis in before)
    wanted = [int(size) for size in step.operation.settings["shape"]]
    kept = 0
    while kept < min(len(shape), len(wanted)) and shape[kept] == wanted[kept]:
        wanted[kept] = 0
        kept += 1
    if kept < len(wanted) and 0 not in step.operation.settings["shape"]:
        longest = max(range(kept, len(wanted)), key=lambda place: wanted[place])
        wanted[longest] = -1
    return w("Reshape", name, w.integers(wanted))


def _expand(w: Writer, step: Step) -> str:
    return w("Expand", w.operand(step.data[0]), w.integers(step.operation.settings["shape"]))


def _tile(w: Writer, step: Step) -> str:
    repeats, x = step.operation.settings["repeats"], step.operation.data[0]
    if len(repeats) != x.ndim:
        raise Unsupported("repeats that make new axes")
    return w("Tile", w.operand(step.data[0]), w.integers(repeats))


_PADDING = {"constant": "constant", "replicate": "edge", "edge": "edge", "reflect": "reflect", "circular": "wrap"}
_WRAPS = 19
"""The operator set in which ONNX's Pad learnt the mode wrap."""


def pad(w: Writer, x: str, pads: Any, mode: str = "constant", value: float = 0.0) -> str:
    """All axes at once, (begin, end) each; negative amounts crop."""
    if mode not in _PADDING:
        raise Unsupported(mode)
    w.need(_WRAPS if _PADDING[mode] == "wrap" else 11, f"padding of mode {mode}")
    amounts = w.integers([begin for begin, _ in pads] + [end for _, end in pads])
    filled = w.number(value) if mode == "constant" and value else ""
    return w("Pad", x, amounts, filled, mode=_PADDING[mode])


def _pad(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    return pad(w, w.operand(step.data[0]), settings["pads"], settings["mode"], float(settings["value"]))


def _split(w: Writer, step: Step) -> tuple[str, ...]:
    settings, x, sizes = step.operation.settings, w.operand(step.data[0]), [*step.operation.settings["sizes"]]
    if w.opset < 13:
        parts = w.several("Split", len(sizes), x, split=sizes, axis=settings["axis"])
    else:
        parts = w.several("Split", len(sizes), x, w.integers(sizes), axis=settings["axis"])
    return tuple(w.along("Squeeze", part, [settings["axis"]]) for part in parts) if settings["drop"] else parts


def _depth_to_space(w: Writer, step: Step) -> str:
    settings, rank = step.operation.settings, 4
    x = w.first(w.operand(step.data[0]), rank, settings["channels"])
    if settings["inverse"]:
        if settings["order"] != "DCR":
            raise Unsupported("space to depth, channels first")
        found = w("SpaceToDepth", x, blocksize=settings["block"])
    else:
        found = w("DepthToSpace", x, blocksize=settings["block"], mode=settings["order"])
    return w.back(found, rank, settings["channels"])


def _slice(w: Writer, step: Step) -> str:
    w.need(10, "Slice with bounds as operands")
    far = (1 << 63) - 1
    starts, ends, axes, steps = [], [], [], []
    for axis, start, end, given in step.operation.settings["places"]:
        stride = 1 if given is None else given
        starts.append((0 if stride > 0 else far) if start is None else start)
        ends.append((far if stride > 0 else -far) if end is None else end)
        axes.append(axis)
        steps.append(stride)
    return w("Slice", w.operand(step.data[0]), *map(w.integers, (starts, ends, axes, steps)))


def flip(w: Writer, x: str, axes: Any) -> str:
    """Backwards along some axes."""
    return w("Slice", x, *(w.integers([value] * len(axes)) for value in (-1, -(1 << 63) + 1)), *_last(w, axes))


def _last(w: Writer, axes: Any) -> tuple[str, str]:
    return w.integers(axes), w.integers([-1] * len(axes))


def _flip(w: Writer, step: Step) -> str:
    axes = step.operation.settings["axes"]
    axes = axes if isinstance(axes, (tuple, list)) else (axes,)
    return flip(w, w.operand(step.data[0]), [axis % step.operation.data[0].ndim for axis in axes])


def _roll(w: Writer, step: Step) -> str:
    x, found = step.operation.data[0], w.operand(step.data[0])
    shifts, axes = step.operation.settings["shifts"], step.operation.settings["axes"]
    if axes is None:
        raise Unsupported("rolling the flattened tensor")
    shifts, axes = ((one,) if isinstance(one, int) else one for one in (shifts, axes))
    for shift, axis in zip(shifts, axes, strict=True):
        cut = -int(shift) % x.shape[axis]
        if cut:
            ends = ((cut, x.shape[axis]), (0, cut))
            parts = [w("Slice", found, *(w.integers([v]) for v in (a, b, axis))) for a, b in ends]
            found = w("Concat", *parts, axis=axis % x.ndim)
    return found


def _lookup(w: Writer, step: Step) -> str:
    return w(
        "Gather",
        w.operand(step.parameters["table"]),
        _whole(w, step.operation.data[0], step.data[0]),
        axis=step.operation.settings["axis"],
    )


def _whole(w: Writer, array: Array, given: str | Array) -> str:
    """Places as the standard wants them."""
    from onnx import TensorProto

    if not isinstance(given, str):
        return w.constant(given.astype(np.int64))
    return given if array.dtype in (np.int64, np.int32) else w("Cast", given, to=TensorProto.INT64)


def _index(w: Writer, step: Step) -> str:
    """Numpy's brackets of slices and numbers."""
    x, index = step.operation.data[0], step.operation.settings["index"]
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(part, (slice, int)) for part in parts):
        raise Unsupported("an index of arrays")
    found, dropped = w.operand(step.data[0]), []
    places = []
    for axis, part in enumerate(parts):
        if isinstance(part, int):
            at = part % x.shape[axis]
            places.append((axis, at, at + 1, 1))
            dropped.append(axis)
        elif part != slice(None):
            start, stop, stride = part.indices(x.shape[axis])
            far = (1 << 63) - 1
            whole_end = part.stop is None
            places.append((axis, start, (far if stride > 0 else -far) if whole_end else stop, stride))
    if places:
        axes, starts, ends, steps = zip(*places, strict=True)
        found = w("Slice", found, *(w.integers(each) for each in (starts, ends, axes, steps)))
    return w.along("Squeeze", found, dropped) if dropped else found


def _gather_elements(w: Writer, step: Step) -> str:
    places = _whole(w, step.operation.data[1], step.data[1])
    return w("GatherElements", w.operand(step.data[0]), places, axis=step.operation.settings["axis"])


def _gather_nd(w: Writer, step: Step) -> str:
    places = _whole(w, step.operation.data[1], step.data[1])
    return w("GatherND", w.operand(step.data[0]), places, batch_dims=step.operation.settings["batch"])


def _shape(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    if not settings["begin"] and settings["end"] is None:
        return w("Shape", w.operand(step.data[0]))
    w.need(15, "Shape of some axes")
    return w("Shape", w.operand(step.data[0]), start=settings["begin"], end=settings["end"])


def _triangle(w: Writer, step: Step) -> str:
    w.need(14, "Trilu")
    settings = step.operation.settings
    diagonal = w.constant(np.asarray(settings["diagonal"], np.int64))
    return w("Trilu", w.operand(step.data[0]), diagonal, upper=int(settings["upper"]))


def _argmax(w: Writer, step: Step) -> str:
    settings = step.operation.settings
    if settings["axis"] is None:
        raise Unsupported("the flattened tensor's largest")
    return w(
        "ArgMax" if settings["largest"] else "ArgMin",
        w.operand(step.data[0]),
        axis=settings["axis"],
        keepdims=int(settings["keep"]),
        select_last_index=int(settings["last"]) if w.opset >= 12 else None,
    )


def _sort(w: Writer, step: Step) -> tuple[str, ...]:
    settings, x = step.operation.settings, step.operation.data[0]
    count = x.shape[settings["axis"]] if settings["count"] is None else settings["count"]
    options = {"axis": settings["axis"], "largest": int(settings["largest"])}
    return w.several("TopK", 2, w.operand(step.data[0]), w.integers([count]), **options)


EMITTERS: dict[str, Emitter] = {
    "concat": _concat,
    "stack": _stack,
    "transpose": _transpose,
    "reshape": _reshape,
    "expand": _expand,
    "tile": _tile,
    "pad": _pad,
    "split": _split,
    "depth_to_space": _depth_to_space,
    "slice": _slice,
    "flip": _flip,
    "roll": _roll,
    "index": _index,
    "lookup": _lookup,
    "shape": _shape,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "triangle": _triangle,
    "argmax": _argmax,
    "sort": _sort,
}
