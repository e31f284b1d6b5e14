"""An IR checked before the runtime reads it: plain XML, and constants that lie inside the file of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

from aligner.adapters.openvino_adapter.types import BITS
from aligner.adapters.target import beside
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError

_VERSIONS = ("10", "11")
_AGAIN = "convert the model again (openvino.save_model), and keep the .xml and the .bin together"


def check_document(path: Path) -> Path:
    """Return the file of weights that belongs to the IR.

    Raises ModelFormatError for what is no IR, or one whose constants lie outside its file of weights.
    """
    weights = beside(path, ".bin", _AGAIN)
    size = weights.stat().st_size if weights.is_file() else None
    reader = _Reader(path, size)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise ModelFormatError(
            f"{path} is no OpenVINO model", found=f"XML that ends at: {error}", hint=_AGAIN
        ) from error
    except OSError as error:
        raise ModelError.of(f"{path} cannot be read", error, "check the path") from error
    return weights


class _Reader:
    """Follows the elements of an IR, and raises where one contradicts what an IR is."""

    def __init__(self, path: Path, size: int | None) -> None:
        self._path, self._size = path, size
        self._layer: list[tuple[str, str]] = []
        self._depth = 0

    def doctype(self, name: str, *_: object) -> None:
        """No IR declares entities."""
        raise self._wrong(f"a document type is declared ({name})")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Check an element by what it says of itself."""
        if self._depth == 0:
            self._check_root(name, attributes)
        self._depth += 1
        if name == "layer":
            self._layer.append((attributes.get("type", ""), attributes.get("name", "")))
        elif name == "data" and self._layer and self._layer[-1][0] == "Const":
            self._check_constant(self._layer[-1][1], attributes)

    def end(self, name: str) -> None:
        """Leave an element."""
        self._depth -= 1
        if name == "layer":
            self._layer.pop()

    def _check_root(self, name: str, attributes: Mapping[str, str]) -> None:
        version = attributes.get("version", "")
        if name != "net" or not version:
            raise self._wrong(f"the root element {name!r}, where an IR has <net version=…>")
        if version not in _VERSIONS:
            raise UnsupportedModelError(
                f"{self._path} is an IR of version {version[:20]}",
                found=f"OpenVINO reads versions {' and '.join(_VERSIONS)}",
                hint="convert the model that it was made from again",
            )

    def _check_constant(self, name: str, said: Mapping[str, str]) -> None:
        try:
            begin, length = int(said.get("offset", "0")), int(said.get("size", "0"))
            shape = [int(size) for size in said.get("shape", "").split(",") if size.strip()]
        except ValueError as error:
            raise self._wrong(f"the constant {name[:80]!r}: {error}") from error
        if begin < 0 or length < 0 or any(size < 0 for size in shape):
            raise self._wrong(f"the constant {name[:80]!r} with negative sizes")
        if length and self._size is None:
            raise ModelError(
                f"the weights of {self._path} are missing",
                found=f"no {self._path.with_suffix('.bin').name} beside it",
                hint="keep the .xml and the .bin together, under one name",
            )
        if begin + length > (self._size or 0):
            raise self._wrong(
                f"the constant {name[:80]!r} ends at byte {begin + length:,} of {self._size or 0:,} in the .bin file"
            )
        bits = BITS.get(said.get("element_type", ""))
        if bits is not None and math.prod(shape) * bits > length * 8:
            raise self._wrong(f"the constant {name[:80]!r} of shape {shape} in {length:,} bytes")

    def _wrong(self, found: str) -> ModelFormatError:
        return ModelFormatError(f"{self._path} is no valid OpenVINO model", found=found, hint=_AGAIN)
