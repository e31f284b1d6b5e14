"""Tensors made from little, and Fourier transforms."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Fft, Fill, ShapeOf


def _fill(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need_integers(0), value=call.need(1).reshape(-1)[0].item()), ())


def _zeros_like(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need(0).shape, value=0), ())


def _range(call: Call) -> Operation:
    return Operation("range", {}, (call.need(0), call.need(1), call.need(2)))


def _shape(call: Call) -> Operation:
    return Operation("shape", ShapeOf(begin=0, end=None), (call.need(0),))


def _real_spectrum(call: Call) -> Operation:
    """Half the spectrum of the last two axes, cut or filled up to the lengths of an operand."""
    x = call.need(0)
    settings = Fft(
        form="rfft",
        lengths=call.need_integers(1),
        axes=(x.ndim - 2, x.ndim - 1),
        norm="backward",
        pairs=False,
        complex_input=False,
    )
    return Operation("fft", settings, (x,))


WORDS: Vocabulary = {
    "FILL": _fill,
    "ZEROS_LIKE": _zeros_like,
    "RANGE": _range,
    "SHAPE": _shape,
    "RFFT2D": _real_spectrum,
}
