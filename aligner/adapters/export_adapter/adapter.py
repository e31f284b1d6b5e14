"""torch.export: archives and live exported programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.torch_file import classify
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.rewriting import Extracted

_SUFFIXES = frozenset({".pt2", ".pt", ".pth", ".zip"})


class ExportAdapter(Adapter):
    """Reads what ``torch.export.save`` wrote, and live ExportedPrograms."""

    name: ClassVar[str] = "torch-export"
    extra: ClassVar[str] = "torch"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device"})
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    reads: ClassVar[str] = "*.pt2 (archives of torch.export), torch.export.ExportedProgram"
    translation: ClassVar[str] = "aligner.adapters.aten_translation"
    wording: ClassVar[str] = "aligner.adapters.torch_wording"

    def claims(self, target: object) -> bool:
        """Whether it is such an archive by content, or a live program."""
        if isinstance(target, str | Path):
            return _is_archive(Path(target))
        exported = getattr(sys.modules.get("torch"), "export", None)
        return exported is not None and isinstance(target, exported.ExportedProgram)

    def open(self, target: object, options: OpenOptions) -> Session:
        """Load the program; its weights stay where a live one has them."""
        from aligner.adapters.export_adapter.program import load, placed, unlifted
        from aligner.adapters.export_adapter.session import ProgramSession
        from aligner.adapters.export_adapter.signature import example_of, read_program

        trusted = options.trust or not isinstance(target, str | Path)
        program = load(Path(target), trust=options.trust) if isinstance(target, str | Path) else target
        program = placed(program, options.device)
        signature = read_program(program)
        module = unlifted(program, guarded=trusted)
        return ProgramSession(
            module, signature, device=options.device, example=example_of(program, signature), notes=_notes(options)
        )

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others as a program of its own."""
        from aligner.adapters.export_adapter.extraction import extract

        return extract(target, inputs, output, folder)


def _is_archive(path: Path) -> bool:
    if not path.is_file():
        return path.suffix.lower() == ".pt2"
    return path.suffix.lower() == ".pt2" or (path.suffix.lower() in _SUFFIXES and classify(path).kind == "export")


def _notes(options: OpenOptions) -> tuple[str, ...]:
    if options.evaluation_mode is not True:
        return ()
    return ("an exported program is in the mode that it was exported in: --eval changes nothing",)
