"""An exported program as a session: what its graph computes, node by node."""

from __future__ import annotations

import warnings
from typing import Any

from aligner.adapters.base import Feeds, Session
from aligner.adapters.export_adapter.interpreter import interpret
from aligner.adapters.export_adapter.recorder import ProgramRecorder
from aligner.adapters.export_adapter.signature import ProgramSignature
from aligner.adapters.pytorch_adapter.float64 import widened_copy
from aligner.adapters.pytorch_adapter.recorder import Recorder
from aligner.adapters.pytorch_adapter.session import EagerSession
from aligner.records.graph import Graph


class ProgramSession(EagerSession):
    """Runs the module that a program unlifts to; observed runs interpret its graph."""

    framework = "torch-export"
    _observer = ProgramRecorder

    def __init__(
        self,
        module: Any,
        forward: ProgramSignature,
        *,
        device: str,
        example: Feeds | None,
        notes: tuple[str, ...] = (),
        wide: bool = False,
    ) -> None:
        super().__init__(module, device=device, notes=notes, forward=forward, wide=wide)
        self._program, self._example = forward, example

    @property
    def runtime(self) -> str:
        """ "PyTorch 2.13.0 (cpu, torch.export)"."""
        return super().runtime.replace("eager", "torch.export")

    def graph(self, feeds: Feeds | None) -> Graph:
        """What runs on these feeds; without any, on the inputs that the program was exported with."""
        return super().graph(self._example if feeds is None else feeds)

    def in_float64(self) -> Session:
        """A copy of the program, widened."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of how torch copies its own records
            module = widened_copy(self._module)
        return ProgramSession(module, self._program, device=self._device, example=self._example, wide=True)

    def _answer(self, recorder: Recorder, positional: list[Any], keywords: dict[str, Any]) -> Any:
        from torch.utils._pytree import tree_leaves, tree_unflatten

        assert isinstance(recorder, ProgramRecorder)
        flat = interpret(self._module, recorder, tree_leaves((tuple(positional), keywords)))
        return tree_unflatten(flat, self._module._out_spec)
