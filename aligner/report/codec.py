"""Records as JSON's own types and back, by their types alone: a field added to a record is in every document.

JSON has no NaN and no infinity: a number that is not finite is null, and null where a number is asked for is NaN.
Fields that a document lacks take the record's defaults; keys that no record knows are left aside.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
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


def encode(record: object) -> Document:
    """A record as a document; keys are its fields' names, in their order."""
    document: Document = {}
    kind: Any = type(record)
    for name, default, flat, real in _written(kind):
        value = getattr(record, name)
        if default is None or value != default():
            told = plain(value, real=real)
            document.update(told if flat else {name: told})
    return document


def plain(value: Any, *, real: bool = False) -> Any:
    """A value as JSON can hold it: records by their fields, NumPy scalars as Python's, what is not finite as None.

    ``real``: integers are real numbers, too.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return float(value) if real else int(value)
    if isinstance(value, (tuple, list)):
        return [plain(item, real=real) for item in value]
    if isinstance(value, Picture):
        return _picture_document(value)
    if is_dataclass(value):
        return encode(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, real=real) for key, item in value.items()}
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [plain(item, real=real) for item in value]
    item = getattr(value, "item", None)  # a NumPy scalar; anything else is shown as its own words
    if callable(item) and getattr(value, "ndim", 1) == 0:
        return plain(item(), real=real)
    return str(value)


@cache
def _written(record: Any) -> tuple[tuple[str, Callable[[], Any] | None, bool, bool], ...]:
    """Of each field that is written: its name, its default where that is left out, FLAT, of real numbers alone."""
    told = []
    for item in fields(record):
        if item.metadata.get("written", True):
            default = _default(item) if item.metadata.get("when_set") else None
            words = re.findall(r"\w+", str(item.type))
            real = "float" in words and "int" not in words
            told.append((item.name, default, bool(item.metadata.get("flat")), real))
    return tuple(told)


def _default(item: Field[Any]) -> Callable[[], Any] | None:
    if item.default_factory is not MISSING:
        return item.default_factory
    return (lambda: item.default) if item.default is not MISSING else None


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
    for plain in (int, str, bool):
        made.register_structure_hook(plain, _exactly)
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


def _exactly(value: Any, plain: type) -> Any:
    if type(value) is not plain:
        raise TypeError(f"{value!r} is no {plain.__name__}")
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
