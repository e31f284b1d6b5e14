"""Tensors made from little, and Fourier transforms."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import Cast, Fft, Fill, Mesh, Shaped


def _like(value: float) -> Any:
    return lambda call: Operation("fill", Fill(shape=call.need_shape(), value=value), ())


def _mesh(call: Call) -> Operation:
    """Without a word as matrices are indexed."""
    return Operation("mesh", Mesh(indexing=call.text("indexing", "ij")), tuple(call.given))


def _copied(call: Call) -> Operation:
    """copy_(target, source): the target holds the source, broadcast, in its own dtype."""
    source = call.need(1)
    dtype = call.dtype().removeprefix("torch.")
    if dtype and dtype != str(source.dtype):
        source = compute(Operation("cast", Cast(to=dtype), (source,)))
    return Operation("expand", Shaped(shape=call.need_shape()), (source,))


def _filled(call: Call) -> Operation:
    """fill_(target, value)."""
    given = call.operand(1)
    value = call.number("value", default=0.0) if given is None else given.reshape(()).item()
    return Operation("fill", Fill(shape=call.need_shape(), value=value), ())


def _transform(form: str, rank: int | None) -> Any:
    """``rank``: 1 for one axis, 2 for the last two, None for any."""

    def translate(call: Call) -> Operation:
        x, said = call.need(0), call.attributes.get("axis", call.attributes.get("axes", call.attributes.get("dim")))
        default = (-1,) if rank == 1 else (-2, -1) if rank == 2 else tuple(range(x.ndim))
        axes = (said,) if isinstance(said, int) else said if isinstance(said, tuple) else default
        lengths = call.numbers("n") or call.numbers("s")
        norm = str(call.attributes.get("norm") or "backward")
        return Operation("fft", Fft(form=form, lengths=lengths, axes=axes, norm=norm), (x,))

    return translate


WORDS: Vocabulary = {
    "meshgrid": _mesh,
    "copy": _copied,
    "fill": _filled,
    "zero": _like(0.0),
    "zeros_like": _like(0.0),
    "ones_like": _like(1.0),
    **{f"fft_{form}": _transform(form, 1) for form in ("fft", "ifft", "rfft", "irfft")},
    **{f"fft_{form}2": _transform(form, 2) for form in ("fft", "ifft", "rfft", "irfft")},
    **{f"fft_{form}n": _transform(form, None) for form in ("fft", "ifft", "rfft", "irfft")},
}
