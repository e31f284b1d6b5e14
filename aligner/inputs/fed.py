"""One array on its way into one side, and the words that tell the user what it is."""

from __future__ import annotations

import numpy as np

from aligner.errors import InputError
from aligner.inputs.casting import dequantize
from aligner.inputs.conventions import real_range
from aligner.inputs.items import Correspondence
from aligner.inputs.layouts import Axes, between, evident_layout, layout_label, moves, shape_text
from aligner.inputs.slots import End, Slot
from aligner.numerics.written_type import written_from
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance of neighbouring numbers at 1.0, where what is fed was rounded to fewer bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """What one end is fed; ``axes`` carry the logical array into it, ``text`` describes it for the report."""

    end: End
    array: Array
    axes: Axes
    text: str
    warnings: tuple[str, ...] = ()


def owned(array: Array) -> Array:
    """A C-contiguous copy that nobody else holds."""
    return np.array(array, order="C", copy=True)


def number(value: float) -> str:
    """A number as reports write it."""
    return (f"{value:.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.4g}").replace("-", "−")


def describe(array: Array, end: End, *remarks: str, span: str | None = None, label: str | None = None) -> str:
    """Shape, dtype, range (of the real values where quantised), layout, remarks: "1×3×8×8 float32, 0..1, NCHW"."""
    dtype = array.dtype.name if array.dtype.kind not in "OS" else "text"
    quantization = end.spec.quantization if array.dtype.kind in "iu" else None
    if quantization is not None:
        zeros = quantization.zero_point or (0,)
        many = " per channel" if len(quantization.scale) > 1 else ""
        dtype += f" (scale {number(quantization.scale[0])}, zero {number(zeros[0])}{many})"
    if span is None and array.dtype.kind in "iuf" and array.size:
        real = array if quantization is None else dequantize(array, quantization)
        low, high = number(float(real.min())), number(float(real.max()))
        span = f"{low}..{high}" if low != high else high if array.size == 1 else f"all {high}"
    if span and quantization is not None:
        span = f"real {span}"
    if label is None:
        label = layout_label(array.ndim, evident_layout(array.shape)) if array.ndim > 3 else ""
    return ", ".join(filter(None, (f"{shape_text(array.shape)} {dtype}", span, label, *remarks)))


def clipping_warning(end: End, clipped: float) -> tuple[str, ...]:
    """What to say when values did not fit into a quantised input."""
    held = real_range(end.spec)
    if not clipped or held is None:
        return ()
    span = f"{number(held[0])}..{number(held[1])}"
    return (f"{end.text} holds {span} only: {clipped:.1%} of the values fed to it were clipped",)


def shared_correspondence(reference: Fed, candidate: Fed) -> Correspondence | None:
    """How two arrays made from one logical array answer each other; None when their ranks differ."""
    if reference.array.ndim != candidate.array.ndim:
        return None
    return reference.end.spec.name, candidate.end.spec.name, between(reference.axes, candidate.axes)


def found_correspondence(reference: Fed, candidate: Fed) -> Correspondence | None:
    """How two arrays that were given separately answer each other; None when they hold different data."""
    ours, theirs = _real(reference), _real(candidate)
    if ours is None or theirs is None or ours.ndim != theirs.ndim:
        return None
    step = max(
        [0.0, *(fed.end.spec.quantization.scale[0] for fed in (reference, candidate) if fed.end.spec.quantization)]
    )
    floats = [fed.array.dtype for fed in (reference, candidate) if fed.array.dtype.kind == "f"]
    rtol = max([1e-6, *(float(np.finfo(dtype).eps) for dtype in floats)])  # type: ignore[type-var]
    words = {written_from(fed.array) or "" for fed in (reference, candidate)}
    if len(words) > 1:  # one of them went through fewer bits
        rtol = max([rtol, *(_EPSILON.get(word, 0.0) for word in words)])
    for axes in (tuple(range(ours.ndim)), *moves(ours.ndim)):
        moved = ours.transpose(axes)
        if moved.shape == theirs.shape and np.allclose(moved, theirs, rtol=rtol, atol=0.51 * step):
            return reference.end.spec.name, candidate.end.spec.name, between(tuple(range(ours.ndim)), axes)
    return None


def shapes_differ(slot: Slot, what: str, found: str = "") -> InputError:
    """The error for one input that two models declare differently."""
    ways = " ".join(f"--input {end.role}.{end.spec.name}=FILE" for end in slot.ends)
    declared = " against ".join(end.text for end in slot.ends)
    return InputError(
        what, found="; ".join(filter(None, (found, declared))), hint=f"give each side its own data: {ways}"
    )


def _real(fed: Fed) -> Array | None:
    if fed.array.dtype.kind not in "biuf":
        return None
    quantization = fed.end.spec.quantization
    stored = quantization is not None and fed.array.dtype.kind in "iu"
    return dequantize(fed.array, quantization) if stored and quantization else fed.array.astype(np.float64)
