"""A module under other settings of PyTorch: compiled, in another dtype, with other threads."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aligner.adapters.pytorch_adapter.session import EagerSession
from aligner.errors import ModelError

SWITCHES: Mapping[str, tuple[str, ...]] = {
    "optimization": ("eager", "inductor"),
    "precision": ("as declared", "bfloat16", "float16"),
    "threads": ("1", str(max(os.cpu_count() or 1, 2))),
}


def switched(module: Any, switch: str, setting: str, device: str, *, evaluate: bool) -> EagerSession:
    """A session of a copy of the module under one setting. Raises ModelError where it cannot be copied."""
    import torch

    try:
        own = copy.deepcopy(module)
    except Exception as error:
        raise ModelError(
            "the module cannot be run otherwise beside itself",
            found=f"it cannot be copied: {type(error).__name__}: {error}",
            hint="give it as file.py:factory",
        ) from error
    compiled = torch.compile(own) if setting == "inductor" else None
    if switch == "precision" and setting != "as declared":
        own = own.to(getattr(torch, setting))
    kind = _Threaded if switch == "threads" else EagerSession
    session = kind(own, device=device, evaluate=evaluate, compiled=compiled)
    if isinstance(session, _Threaded):
        session.threads = int(setting)
    return session


class _Threaded(EagerSession):
    """The number of threads is the process's, and is put back behind every run."""

    threads = 1

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with super()._undisturbed():
                yield
        finally:
            torch.set_num_threads(before)
