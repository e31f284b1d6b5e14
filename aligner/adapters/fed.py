"""What is fed, held against what a model declares: the same words whatever runtime is behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from aligner.errors import InputError, listing
from aligner.records.array import Array
from aligner.records.graph import InputSpec, Shape


def declared(spec: InputSpec) -> str:
    """ "x [1, 3, ?, ?] float32"."""
    shape = "" if spec.shape is None else f" [{', '.join('?' if n is None else str(n) for n in spec.shape)}]"
    return f"{spec.name}{shape} {spec.dtype or ''}".rstrip()


def check_names(specs: Iterable[InputSpec], feeds: Collection[str]) -> None:
    """Raise InputError for an input that the model does not have, and for one that it needs and is not fed."""
    specs = list(specs)
    names = {spec.name for spec in specs}
    check_unknown(specs, feeds, [name for name in feeds if name not in names])
    check_missing(specs, feeds, [spec.name for spec in specs if spec.required and spec.name not in feeds])


def check_unknown(specs: Iterable[InputSpec], feeds: Collection[str], unknown: Collection[str]) -> None:
    """Raise InputError where some of what is fed is no input."""
    if unknown:
        import difflib

        names = [spec.name for spec in specs]
        close = difflib.get_close_matches(next(iter(unknown)), names, n=1)
        raise InputError(
            f"the model has no input {listing(map(repr, unknown))}",
            found=f"given: {listing(feeds)}",
            hint=f"did you mean {close[0]!r}?" if close else _inputs(specs),
        )


def check_missing(specs: Iterable[InputSpec], feeds: Collection[str], missing: Collection[str]) -> None:
    """Raise InputError where inputs are not fed that the model needs."""
    if missing:
        raise InputError(
            f"the model needs an input that was not given: {listing(missing)}",
            found=f"given: {listing(feeds) or 'none'}",
            hint=_inputs(specs),
        )


def check_dtype(spec: InputSpec, given: object, *, fits: bool, wanted: object = None) -> None:
    """Raise InputError unless the dtype fits; ``wanted`` is what to convert to."""
    if not fits:
        raise InputError(
            f"input {spec.name!r} has another dtype",
            found=f"{given} given, {spec.dtype} wanted",
            hint=f"convert it to {wanted or spec.dtype}",
        )


def check_shape(spec: InputSpec, given: tuple[int, ...], *, fits: bool, why: str = "", channels: str = "") -> None:
    """Raise InputError unless the shape fits; ``why``: the words of the runtime, ``channels``: of pictures, "last"."""
    if not fits:
        layout = "; it takes images as (N, height, width, channels)" if channels == "last" else ""
        raise InputError(
            f"input {spec.name!r} has another shape",
            found=f"{list(given)} given{why and f': {why}'}",
            hint=f"wanted: {declared(spec)}{layout}",
        )


def check_injected(name: str, given: Array, *, fits: bool, wanted: str) -> None:
    """Raise InputError unless an array fits the value in whose place it stands."""
    if not fits:
        raise InputError(
            f"the array injected for {name!r} has another shape or dtype",
            found=f"{given.dtype} {list(given.shape)}, {wanted} wanted",
            hint="give it in the layout and the dtype that the value has in this model",
        )


def fits_shape(shape: tuple[int, ...], wanted: Shape) -> bool:
    """Whether a shape agrees with a declared one, in which None stands for any size."""
    return len(shape) == len(wanted) and all(want in (None, have) for have, want in zip(shape, wanted, strict=True))


def _inputs(specs: Iterable[InputSpec]) -> str:
    told: Any = [declared(spec) for spec in specs]
    return f"its inputs: {'; '.join(told)}" if told else "the model has no inputs"


def not_given(name: str) -> InputError:
    """A value was not computed, as an injection had it, and then does not give it."""
    return InputError(
        f"value {name!r} was to be injected, but no array came for it",
        found="the mapping says that it has it and does not give it",
        hint="observe the value too, so that it is computed",
    )
