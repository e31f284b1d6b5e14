"""Tensors made from little, and Fourier transforms."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import simple
from aligner.operations.operation import Operation
from aligner.operations.settings import Fft, Fill, ShapeOf


def _fill(call: Call) -> Operation:
    value = call.numbers("value")
    return Operation("fill", Fill(shape=call.need_integers(0), value=value[0] if value else 0.0), ())


def _shape(call: Call) -> Operation:
    end = call.attributes.get("end")
    settings = ShapeOf(begin=call.integer("start", default=0), end=end if isinstance(end, int) else None)
    return Operation("shape", settings, (call.need(0),))


def _transform(call: Call) -> Operation:
    """Complex numbers are a last axis of two; the axis is an operand since version 20."""
    x, length, axis = call.need(0), call.integers(1), call.integers(2)
    along = (axis[0] if axis else call.integer("axis", default=-2)) % x.ndim
    form = "ifft" if call.flag("inverse") else "rfft" if call.flag("onesided") else "fft"
    if call.flag("inverse") and call.flag("onesided"):
        form = "irfft"
    lengths = length[:1] if length else None
    settings = Fft(form=form, lengths=lengths, axes=(along,), pairs=True, complex_input=x.shape[-1] == 2)
    return Operation("fft", settings, (x,))


def _constant(call: Call) -> Operation:
    raise call.unknown("a constant is a weight")


WORDS: Vocabulary = {
    "ConstantOfShape": _fill,
    "Range": simple("range", 3),
    "Shape": _shape,
    "Size": simple("size"),
    "DFT": _transform,
    "Constant": _constant,
}
