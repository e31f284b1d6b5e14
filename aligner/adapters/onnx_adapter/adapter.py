"""ONNX models, run by onnxruntime."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import Adapter, Instrumented, OpenOptions, Session
from aligner.adapters.onnx_adapter.engine import check_operators, make_engine
from aligner.adapters.onnx_adapter.file import looks_like_onnx, read_onnx, wrap_onnx
from aligner.adapters.onnx_adapter.instrument import as_it_was, instrument
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.rewriting import Changed, Edit, Extracted

_SUFFIXES = (".onnx", ".ort")


class OnnxAdapter(Adapter):
    """Opens .onnx files, and ModelProtos of a program that has imported onnx."""

    name: ClassVar[str] = "onnx"
    extra: ClassVar[str] = "onnx"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"provider", "ort_optimization"})
    modules: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    reads: ClassVar[str] = "*.onnx, onnx.ModelProto"
    translation: ClassVar[str] = "aligner.adapters.onnx_adapter.translation"
    wording: ClassVar[str] = "aligner.adapters.onnx_adapter.wording"
    unoptimised: ClassVar[str] = "with optimisations off (--ort-optimization none) or with another provider"
    opens_aside: ClassVar[bool] = True

    def claims(self, target: object) -> bool:
        if isinstance(target, Path):
            if target.suffix.lower() in _SUFFIXES:
                return True
            if target.suffix.lower() == ".tflite" or not target.is_file():
                return False
            with target.open("rb") as file:
                return looks_like_onnx(file.read(16))
        onnx = sys.modules.get("onnx")
        return onnx is not None and isinstance(target, getattr(onnx, "ModelProto", ()))

    def open(self, target: object, options: OpenOptions) -> Session:
        from aligner.adapters.onnx_adapter.optimised import SwitchableSession

        engine = make_engine(options.provider, options.ort_optimization)
        file = as_it_was(read_onnx(target) if isinstance(target, Path) else wrap_onnx(target, None))
        check_operators(file.skeleton, str(file))
        return SwitchableSession(file, engine, options.memory_limit)

    def instrument(self, target: object, output: Path, observe: Sequence[str], *, trust: bool = False) -> Instrumented:
        """Write the model with inner tensors among its outputs."""
        del trust  # nothing in such a file is code
        return instrument(Path(str(target)), output, observe)

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others as a model of its own."""
        from aligner.adapters.onnx_adapter.extraction import extract

        return extract(target, inputs, output, folder)

    def rewrite(self, target: Path, groups: Sequence[Sequence[Edit]], output: Path) -> list[Changed | None]:
        """Write the file with some computations replaced."""
        from aligner.adapters.onnx_adapter.rewriting import rewrite

        return rewrite(target, groups, output)
