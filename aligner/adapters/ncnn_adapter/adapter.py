"""ncnn: a .param file with the .bin beside it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.target import beside, is_unicode
from aligner.errors import ModelError, ModelNotFoundError

_TOGETHER = "keep the .param and the .bin together, with files in place of links"


class NcnnAdapter(Adapter):
    """Opens the text form of ncnn's models, as pnnx writes it."""

    name: ClassVar[str] = "ncnn"
    extra: ClassVar[str] = "ncnn"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device"})
    modules: ClassVar[tuple[str, ...]] = ("ncnn",)
    reads: ClassVar[str] = "*.param (ncnn, with its .bin)"
    translation: ClassVar[str] = "aligner.adapters.ncnn_adapter.translation"
    opens_aside: ClassVar[bool] = True

    def claims(self, target: object) -> bool:
        """By suffix."""
        return isinstance(target, Path) and target.suffix.lower() == ".param"

    def open(self, target: object, options: OpenOptions) -> Session:
        """Read both files; the runtime reads them once more."""
        from aligner.adapters.border import reading
        from aligner.adapters.ncnn_adapter.param_file import read_layers
        from aligner.adapters.ncnn_adapter.session import NcnnSession
        from aligner.adapters.ncnn_adapter.weights import read_weights

        assert isinstance(target, Path)
        if not target.is_file():
            raise ModelNotFoundError(f"{target} does not exist", found="no such file", hint="check the path")
        if not is_unicode(target):
            raise ModelError(f"{target} cannot be handed to ncnn", found="a name that is no text", hint="rename it")
        if options.device != "cpu":
            raise ModelError(
                f"ncnn runs on the processor here, not on {options.device}",
                hint="leave --device out",
                found="no Vulkan",
            )
        with reading(str(target)):
            layers = read_layers(target)
            return NcnnSession(target, layers, read_weights(beside(target, ".bin", _TOGETHER), layers))
