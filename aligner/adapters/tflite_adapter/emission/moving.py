"""What moves, picks and places elements."""

from __future__ import annotations

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.adapters.tflite_adapter.emission.writer import Emitter, Writer, result_of
from aligner.operations.operation import Unsupported, results


def _transpose(w: Writer, step: Step) -> str:
    return w.transpose(w.operand(step.data[0]), step.operation.data[0], step.operation.settings["perm"])[0]


def _reshape(w: Writer, step: Step) -> str:
    settings, name, shown = step.operation.settings, w.operand(step.data[0]), step.operation.data[0]
    if settings["before"] is not None:
        name, shown = w.transpose(name, shown, settings["before"])
    return w.reshape(name, shown, result_of(step).shape)[0]


def _concat(w: Writer, step: Step) -> str:
    told = {"axis": step.operation.settings["axis"]}
    return w("CONCATENATION", result_of(step), *map(w.operand, step.data), options="ConcatenationOptions", told=told)


def _split(w: Writer, step: Step) -> tuple[str, ...]:
    """A slice for each part, which a runtime computes as fast."""
    settings, x = step.operation.settings, step.operation.data[0]
    axis, begin, found = settings["axis"] % x.ndim, 0, []
    for size, part in zip(settings["sizes"], results(step.operation), strict=False):
        places = [slice(begin, begin + size) if each == axis else slice(0, x.shape[each]) for each in range(x.ndim)]
        cut = x[tuple(places)]
        name = w("SLICE", cut, w.operand(step.data[0]), w.integers(one.start for one in places), w.integers(cut.shape))
        found.append(w.reshape(name, cut, part.shape)[0] if settings["drop"] else name)
        begin += size
    return tuple(found)


def _slice(w: Writer, step: Step) -> str:
    x, places = step.operation.data[0], {}
    for axis, start, end, given in step.operation.settings["places"]:
        stride = 1 if given is None else given
        if stride < 1 or axis % x.ndim in places:
            raise Unsupported("a slice backwards")
        places[axis % x.ndim] = slice(start, end, stride).indices(x.shape[axis])
    bounds = [places.get(axis, (0, size, 1)) for axis, size in enumerate(x.shape)]
    operands = [w.integers(one) for one in zip(*bounds, strict=True)]
    return w("STRIDED_SLICE", result_of(step), w.operand(step.data[0]), *operands, options="StridedSliceOptions")


def _pad(w: Writer, step: Step) -> str:
    settings, x = step.operation.settings, step.operation.data[0]
    if any(amount < 0 for pair in settings["pads"] for amount in pair):
        raise Unsupported("pads that crop")
    name, amounts = w.operand(step.data[0]), w.integers(settings["pads"])
    if settings["mode"] in {"reflect", "symmetric"}:
        told = {"mode": int(settings["mode"] == "symmetric")}
        return w("MIRROR_PAD", result_of(step), name, amounts, options="MirrorPadOptions", told=told)
    if settings["mode"] not in {"constant", "zeros"}:
        raise Unsupported(settings["mode"])
    if not settings["value"]:
        return w("PAD", result_of(step), name, amounts)
    filled = max(settings["value"], float(np.finfo(np.float32).min))
    return w("PADV2", result_of(step), name, amounts, w.operand(np.asarray(filled, np.float32).astype(x.dtype)))


def _lookup(w: Writer, step: Step) -> str:
    operands = (w.operand(step.parameters["table"]), w.operand(step.data[0]))
    told = {"axis": step.operation.settings["axis"]}
    return w("GATHER", result_of(step), *operands, options="GatherOptions", told=told)


def _listed(word: str, setting: str) -> Emitter:
    """An operator whose second operand is a list of whole numbers."""

    def emitter(w: Writer, step: Step) -> str:
        return w(word, result_of(step), w.operand(step.data[0]), w.integers(step.operation.settings[setting]))

    return emitter


EMITTERS: dict[str, Emitter] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "concat": _concat,
    "split": _split,
    "slice": _slice,
    "tile": _listed("TILE", "repeats"),
    "expand": _listed("BROADCAST_TO", "shape"),
    "flip": _listed("REVERSE_V2", "axes"),
    "pad": _pad,
    "lookup": _lookup,
}
