"""Tensors made from little, and Fourier transforms."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import simple
from aligner.operations.operation import Operation
from aligner.operations.settings import Fft, Fill, ShapeOf


def _fill(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need_integers(0), value=call.need(1).reshape(-1)[0].item()), ())


def _zeros_like(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need(0).shape, value=0), ())


def _real_spectrum(call: Call) -> Operation:
    """Half the spectrum of the last two axes, cut or filled up to the lengths of an operand."""
    x = call.need(0)
    settings = Fft(form="rfft", lengths=call.need_integers(1), axes=(x.ndim - 2, x.ndim - 1))
    return Operation("fft", settings, (x,))


WORDS: Vocabulary = {
    "FILL": _fill,
    "ZEROS_LIKE": _zeros_like,
    "RANGE": simple("range", 3),
    "SHAPE": simple("shape", 1, ShapeOf()),
    "RFFT2D": _real_spectrum,
}
