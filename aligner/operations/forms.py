"""Translations that frameworks share, where operands stand in the order of the operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

from aligner.operations.call import Call, Translation, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Compare, Reshape, Shaped


def vocabulary(package: str, path: Iterable[str]) -> Vocabulary:
    """The words of all modules of a package that list their own as ``WORDS``."""
    modules = (import_module(f"{package}.{found.name}") for found in iter_modules(path))
    return {word: translation for module in modules for word, translation in getattr(module, "WORDS", {}).items()}


def of_one(kinds: Mapping[str, str]) -> Vocabulary:
    """Word → kind of a function of one element that is told nothing."""
    return {word: _of(kind, 1) for word, kind in kinds.items()}


def of_two(kinds: Mapping[str, str]) -> Vocabulary:
    """Word → kind of arithmetic on two tensors."""
    return {word: _of(kind, 2) for word, kind in kinds.items()}


def comparisons(forms: Mapping[str, str]) -> Vocabulary:
    """Word → numpy's word for the comparison."""
    return {word: _comparison(form) for word, form in forms.items()}


def _of(kind: str, count: int) -> Translation:
    return lambda call: Operation(kind, {}, tuple(call.need(place) for place in range(count)))


def _comparison(form: str) -> Translation:
    return lambda call: Operation("compare", Compare(form=form), (call.need(0), call.need(1)))


def quotient(call: Call) -> Operation:
    """Whole numbers are divided towards zero."""
    whole = all(operand.dtype.kind in "iu" for operand in call.given)
    return Operation("trunc_divide" if whole else "div", {}, (call.need(0), call.need(1)))


def concatenation(axis: int) -> Translation:
    """Of all operands that are there, along this axis where none is said."""

    def translate(call: Call) -> Operation:
        data = tuple(call.given)
        if not data:
            raise call.unknown("nothing to join")
        return Operation("concat", Along(axis=call.integer("axis", default=axis) % data[0].ndim), data)

    return translate


def reshaped(call: Call) -> Operation:
    """To the shape that was seen."""
    return Operation("reshape", Reshape(shape=call.need_shape()), (call.need(0),))


def broadcast(call: Call) -> Operation:
    """To the shape that was seen."""
    return Operation("expand", Shaped(shape=call.need_shape()), (call.need(0),))
