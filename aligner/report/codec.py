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
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
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
    document: Document = _converter().unstructure(record)
    return document


def prepare(record: type[Any]) -> None:
    """Make ready what encodes records of that type."""
    _converter().get_unstructure_hook(record)


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

    made = Converter(detailed_validation=False, unstruct_collection_overrides={tuple: list})
    made.register_unstructure_hook(float, lambda value: float(value) if math.isfinite(value) else None)
    made.register_unstructure_hook(int, lambda value: value if isinstance(value, bool) else int(value))
    made.register_structure_hook(float, _float)
    for plain in (int, str, bool):
        made.register_structure_hook(plain, _exactly)
    made.register_unstructure_hook_factory(is_dataclass, lambda record: _encoder(made, record))
    made.register_structure_hook_factory(is_dataclass, lambda record: _decoder(made, record))
    made.register_unstructure_hook(Picture, _picture_document)
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


def _encoder(converter: Converter, record: type[Any]) -> Callable[[Any], Document]:
    """Cattrs' own encoder, with the fields of FLAT ones among the others and what is WHEN_SET left out."""
    from cattrs.gen import make_dict_unstructure_fn, override

    changed = {
        item.name: override(omit=True)
        if not item.metadata.get("written", True)
        else override(omit_if_default=bool(item.metadata.get("when_set")))
        for item in fields(record)
    }
    encoder: Callable[[Any], Document] = make_dict_unstructure_fn(record, converter, **changed)  # type: ignore[arg-type]
    flat = [item.name for item in fields(record) if item.metadata.get("flat")]
    if not flat:
        return encoder

    def flattened(made: Any) -> Document:
        document: Document = {}
        for name, value in encoder(made).items():
            document.update(value if name in flat else {name: value})
        return document

    return flattened


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
