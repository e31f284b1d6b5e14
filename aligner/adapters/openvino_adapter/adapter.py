"""OpenVINO: IR files and live models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.target import is_unicode
from aligner.errors import ModelError, ModelNotFoundError
from aligner.records.array import Array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aligner.adapters.openvino_adapter.engine import Engine
    from aligner.adapters.rewriting import Extracted


class OpenVINOAdapter(Adapter):
    """Opens .xml files with their .bin, and models of a program that has imported openvino."""

    name: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device"})
    modules: ClassVar[tuple[str, ...]] = ("openvino",)
    reads: ClassVar[str] = "*.xml (OpenVINO IR, with its .bin), openvino.Model"
    translation: ClassVar[str] = "aligner.adapters.openvino_adapter.translation"
    opens_aside: ClassVar[bool] = True

    def import_module(self, name: str) -> object:
        """Without its telemetry."""
        from aligner.adapters.openvino_adapter.library import openvino

        return openvino(name.partition(".")[2])

    def claims(self, target: object) -> bool:
        """By suffix, or a live model."""
        if isinstance(target, Path):
            return target.suffix.lower() == ".xml"
        model = getattr(sys.modules.get("openvino"), "Model", None)
        return model is not None and isinstance(target, model)

    def open(self, target: object, options: OpenOptions) -> Session:
        """Check the file, and have the runtime read it; live models stay as they are."""
        from aligner.adapters.openvino_adapter.engine import find_engine
        from aligner.adapters.openvino_adapter.session import OpenVINOSession

        engine = find_engine(options.device)
        model = _read(target, engine) if isinstance(target, Path) else target
        return OpenVINOSession(model, engine, options.memory_limit)

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """An IR of the layers between the inputs and one value."""
        from aligner.adapters.openvino_adapter.engine import find_engine
        from aligner.adapters.openvino_adapter.extraction import extract

        engine = find_engine(OpenOptions().device)
        return extract(_read(target, engine).clone(), engine, inputs, output, folder)


def _read(target: Path, engine: Engine) -> Any:
    from aligner.adapters.openvino_adapter.document import check_document

    if not target.is_file():
        raise ModelNotFoundError(f"{target} does not exist", found="no such file", hint="check the path")
    if not is_unicode(target):
        raise ModelError(f"{target} cannot be handed to OpenVINO", found="a name that is no text", hint="rename it")
    return engine.read(target, check_document(target))
