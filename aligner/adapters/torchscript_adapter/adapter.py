"""TorchScript: archives and live script modules, traced or scripted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.adapters.base import Adapter, Instrumented, OpenOptions
from aligner.adapters.torch_file import classify
from aligner.errors import UnsupportedModelError
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.rewriting import Extracted
    from aligner.adapters.torchscript_adapter.session import ScriptSession


_SUFFIXES = frozenset({".pt", ".pth", ".ts", ".torchscript", ".jit", ".zip"})
_OWN_SUFFIXES = frozenset({".ts", ".torchscript", ".jit"})


class TorchScriptAdapter(Adapter):
    """Reads what ``torch.jit.save`` wrote, and live ``torch.jit`` objects."""

    name: ClassVar[str] = "torchscript"
    extra: ClassVar[str] = "torch"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device"})
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    reads: ClassVar[str] = "*.pt, *.pth, *.ts, *.jit (TorchScript archives), torch.jit.ScriptModule"
    translation: ClassVar[str] = "aligner.adapters.aten_translation"
    wording: ClassVar[str] = "aligner.adapters.torch_wording"
    unoptimised: ClassVar[str] = "with torch.jit.optimized_execution(False), or on another device"

    def claims(self, target: object) -> bool:
        """Whether it is a TorchScript archive by content, or a live script object."""
        if isinstance(target, str | Path):
            return _is_archive(Path(target))
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(target, (torch.jit.ScriptModule, torch.jit.ScriptFunction))

    def open(self, target: object, options: OpenOptions) -> ScriptSession:
        """Load the archive, or take a copy of the live module's state."""
        if options.weights is not None:
            raise UnsupportedModelError(
                "a TorchScript model carries its own weights",
                found=f"the checkpoint {options.weights}",
                hint="load the checkpoint into the Python module (file.py:factory), or save the archive again",
            )
        from aligner.adapters.torchscript_adapter.archive import load_script
        from aligner.adapters.torchscript_adapter.run import Program
        from aligner.adapters.torchscript_adapter.session import ScriptSession

        script, name = target, f"the live {type(target).__name__}"
        if isinstance(target, str | Path):
            script, name = load_script(Path(target), options.device, trust=options.trust), Path(target).name
        if not _callable(script):
            raise UnsupportedModelError(
                f"{name} has no forward", found=type(script).__name__, hint="save a module that defines forward"
            )
        return ScriptSession(Program(script, name, device=options.device, evaluation=bool(options.evaluation_mode)))

    def instrument(self, target: object, output: Path, observe: Sequence[str], *, trust: bool = False) -> Instrumented:
        """Write the model with inner tensors among its outputs."""
        from aligner.adapters.torchscript_adapter.instrument import instrument

        return instrument(Path(str(target)), output, observe, trust=trust)

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others as a model of its own."""
        from aligner.adapters.torchscript_adapter.extraction import extract

        return extract(target, inputs, output, folder)


def _is_archive(path: Path) -> bool:
    suffix = path.suffix.lower()
    if not path.is_file():
        return suffix in _OWN_SUFFIXES
    if suffix in _OWN_SUFFIXES:
        return True
    return suffix in _SUFFIXES and classify(path).kind == "torchscript"


def _callable(script: Any) -> bool:
    import torch

    return isinstance(script, torch.jit.ScriptFunction) or script._c._has_method("forward")
