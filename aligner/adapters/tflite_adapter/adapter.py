"""TFLite models, run by LiteRT."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import Adapter, Instrumented, OpenOptions
from aligner.adapters.tflite_adapter.instrument import as_it_was, instrument
from aligner.adapters.tflite_adapter.schema import MAGIC, read_model
from aligner.adapters.tflite_adapter.session import TFLiteSession
from aligner.errors import ModelFormatError, ModelNotFoundError
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.rewriting import Changed, Edit, Extracted


def _needed_modules() -> tuple[str, ...]:
    installed = [name for name in ("ai_edge_litert", "tensorflow") if importlib.util.find_spec(name) is not None]
    return ((installed or ["ai_edge_litert"])[0], "flatbuffers")


class TFLiteAdapter(Adapter):
    """``*.tflite`` files, files with TFLite's magic bytes, and such bytes themselves."""

    name: ClassVar[str] = "tflite"
    extra: ClassVar[str] = "tflite"
    heeds: ClassVar[frozenset[str] | None] = frozenset()
    modules: ClassVar[tuple[str, ...]] = _needed_modules()
    reads: ClassVar[str] = "*.tflite"
    translation: ClassVar[str] = "aligner.adapters.tflite_adapter.translation"
    unoptimised: ClassVar[str] = "with the interpreter's reference kernels and without a delegate"

    def claims(self, target: object) -> bool:
        """By suffix, or by the letters TFL3 at bytes 4 to 8."""
        if isinstance(target, bytes):
            return target[4:8] == MAGIC
        if not isinstance(target, str | Path):
            return False
        path = Path(target)
        if path.suffix.lower() == ".tflite":
            return True
        try:
            with path.open("rb") as file:
                return file.read(8)[4:8] == MAGIC
        except (OSError, ValueError):
            return False

    def open(self, target: object, options: OpenOptions) -> TFLiteSession:
        """Read and check the whole file; the interpreter is started by the runs."""
        return TFLiteSession(as_it_was(read_model(_content(target))), options)

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others as a model of its own."""
        from aligner.adapters.tflite_adapter.extraction import extract

        return extract(target, inputs, output, folder)

    def rewrite(self, target: Path, groups: Sequence[Sequence[Edit]], output: Path) -> list[Changed | None]:
        """Write the file with other constants, options or operators of single nodes."""
        from aligner.adapters.tflite_adapter.rewriting import rewrite

        return rewrite(target, groups, output)

    def instrument(self, target: object, output: Path, observe: Sequence[str], *, trust: bool = False) -> Instrumented:
        """Write the model with inner tensors among its outputs."""
        del trust  # nothing in such a file is code
        return instrument(Path(str(target)), output, observe)


def _content(target: object) -> bytes:
    if isinstance(target, bytes):
        return target
    path = Path(str(target))
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelNotFoundError("there is no such model file", found=str(path), hint="check the path") from error
    except OSError as error:
        raise ModelFormatError(
            "the model file cannot be read", found=f"{path}: {error.strerror or error}", hint="give a readable file"
        ) from error
