"""Records as JSON's own types and back, by their types alone: a field added to a record is in every document.

JSON has no NaN and no infinity: a number that is not finite is null, and null where a number is asked for is NaN.
Fields that a document lacks take the record's defaults; keys that no record knows are left aside.
"""

from __future__ import annotations

import base64
import binascii
import math
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from aligner.records.preview import Picture

if TYPE_CHECKING:
    from cattrs import Converter

Document = dict[str, Any]
Record = TypeVar("Record")

_LARGEST = 1 << 20
"""Pixels of the largest picture that is read."""


def encode(record: Any) -> Document:
    """A record as a document; keys are its fields' names, in their order."""
    document: Document = _WAYS[type(record)](record)
    return document


def plain(value: Any) -> Any:
    """A value as JSON can hold it: records as documents, tuples as lists, NumPy scalars as numbers, None for NaN."""
    return _WAYS[type(value)](value)


class _Ways(dict[type[Any], Callable[[Any], Any]]):
    """How values of each type are made plain, worked out once."""

    def __missing__(self, kind: type[Any]) -> Callable[[Any], Any]:
        self[kind] = made = _way(kind)
        return made


_WAYS = _Ways()


def _way(kind: type[Any]) -> Callable[[Any], Any]:
    if issubclass(kind, (bool, str, type(None))):
        return lambda value: value
    if issubclass(kind, float):
        return lambda value: float(value) if math.isfinite(value) else None
    if issubclass(kind, int):
        return int
    if is_dataclass(kind):
        return _picture_document if kind is Picture else _encoder(kind)
    if issubclass(kind, Mapping):
        return lambda value: {str(key): plain(item) for key, item in value.items()}
    if issubclass(kind, (Sequence, Set)) and not issubclass(kind, (bytes, bytearray)):
        return lambda value: [_WAYS[type(item)](item) for item in value]
    return _number


def _number(value: Any) -> Any:
    """A NumPy scalar; anything else is shown as its own words."""
    item = getattr(value, "item", None)
    return plain(item()) if callable(item) and getattr(value, "ndim", 1) == 0 else str(value)


def _encoder(record: type[Any]) -> Callable[[Any], Document]:
    """Fields of FLAT ones stand among the others; what is WHEN_SET is left out where it is not."""
    written = [item for item in fields(record) if item.metadata.get("written", True)]
    flat = {item.name for item in written if item.metadata.get("flat")}
    left_out = {item.name: _default(item) for item in written if item.metadata.get("when_set")}
    names = [item.name for item in written]

    def encoded(made: Any) -> Document:
        document: Document = {}
        for name in names:
            value = getattr(made, name)
            if name in flat:
                document |= encode(value)
            elif name not in left_out or value != left_out[name]:
                document[name] = _WAYS[type(value)](value)
        return document

    return encoded


def _default(item: Field[Any]) -> object:
    return item.default if item.default_factory is MISSING else item.default_factory()


def decode(record: type[Record], document: Mapping[str, Any]) -> Record:
    """The record of that type which a document was made from.

    Raises KeyError, TypeError or ValueError where the document lacks what the record must have, or holds another type.
    """
    try:
        made: Record = _converter().structure(document, record)
    except (KeyError, TypeError, ValueError):
        raise
    except Exception as error:  # cattrs has errors of its own
        raise ValueError(str(error)) from error
    return made


@cache
def _converter() -> Converter:
    from cattrs import Converter

    made = Converter(detailed_validation=False)
    made.register_structure_hook(float, _float)
    for exact in (int, str, bool):
        made.register_structure_hook(exact, _exactly)
    made.register_structure_hook_factory(is_dataclass, lambda record: _decoder(made, record))
    made.register_structure_hook(Picture, lambda document, _: _picture(document))
    return made


def _float(value: Any, _: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError("a number beyond all that can be measured")
    return value  # an integer stays one, as it was written


def _exactly(value: Any, exact: type) -> Any:
    if type(value) is not exact:
        raise TypeError(f"{value!r} is no {exact.__name__}")
    return value


def _decoder(converter: Converter, record: type[Any]) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override

    left = {item.name: override(omit=True) for item in fields(record) if not item.metadata.get("written", True)}
    decoder: Callable[[Any, Any], Any] = make_dict_structure_fn(record, converter, **left)  # type: ignore[arg-type]
    flat = [item.name for item in fields(record) if item.metadata.get("flat")]

    def checked(document: Any, as_type: Any) -> Any:
        if not isinstance(document, Mapping):
            raise TypeError(f"{type(document).__name__} in place of {record.__name__}")
        return decoder({**document, **dict.fromkeys(flat, document)} if flat else document, as_type)

    return checked


def _picture_document(picture: Picture) -> Document:
    pixels = base64.b64encode(zlib.compress(picture.pixels, 9)).decode("ascii")
    return {
        "height": picture.height,
        "width": picture.width,
        "low": picture.low,
        "high": picture.high,
        "pixels": pixels,
    }


def _picture(document: Mapping[str, Any]) -> Picture:
    """The picture a document was made from; ValueError where it is not whole."""
    height, width = int(document["height"]), int(document["width"])
    size = height * width
    if height < 1 or width < 1 or size > _LARGEST:
        raise ValueError(f"a picture of {height}×{width}")
    try:
        inflate = zlib.decompressobj()
        pixels = inflate.decompress(base64.b64decode(document["pixels"], validate=True), size + 1)
    except (zlib.error, binascii.Error) as exc:
        raise ValueError(f"pixels: {exc}") from exc
    if len(pixels) != size:
        raise ValueError(f"{len(pixels)} pixels instead of {size}")
    return Picture(height, width, float(document["low"]), float(document["high"]), pixels)
