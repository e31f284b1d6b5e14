"""ExecuTorch: .pte files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.errors import ModelError, ModelNotFoundError

_MAGIC = b"ET12"
"""What stands behind the first four bytes of a program (program.fbs: file_identifier)."""


class ExecuTorchAdapter(Adapter):
    """Opens the programs that ``to_executorch`` writes."""

    name: ClassVar[str] = "executorch"
    extra: ClassVar[str] = "executorch"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device", "signature"})
    modules: ClassVar[tuple[str, ...]] = ("executorch", "torch")
    reads: ClassVar[str] = "*.pte (ExecuTorch)"
    translation: ClassVar[str] = "aligner.adapters.executorch_adapter.translation"

    def import_module(self, name: str) -> object:
        """Without what it logs."""
        from aligner.adapters.executorch_adapter.library import executorch

        return executorch() if name == "executorch" else super().import_module(name)

    def claims(self, target: object) -> bool:
        """By suffix or by content."""
        if not isinstance(target, Path):
            return False
        if target.suffix.lower() == ".pte" or not target.is_file():
            return target.suffix.lower() == ".pte"
        with target.open("rb") as file:
            return file.read(8)[4:] == _MAGIC

    def open(self, target: object, options: OpenOptions) -> Session:
        """Read the program; the runtime checks it once more."""
        from aligner.adapters.executorch_adapter.opening import opened
        from aligner.adapters.executorch_adapter.program_file import read_file
        from aligner.adapters.executorch_adapter.session import ExecuTorchSession

        assert isinstance(target, Path)
        if not target.is_file():
            raise ModelNotFoundError(f"{target} does not exist", found="no such file", hint="check the path")
        if options.device != "cpu":
            raise ModelError(
                f"ExecuTorch programs run on the processor here, not on {options.device}",
                found="a program is compiled for its devices when it is made",
                hint="leave --device out",
            )
        return ExecuTorchSession(opened(read_file(target, options.signature)), options.memory_limit)
