"""A module under other settings of PyTorch: compiled, in another dtype, with other threads."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aligner.errors import ModelError

SWITCHES: Mapping[str, tuple[str, ...]] = {
    "optimization": ("eager", "inductor"),
    "precision": ("as declared", "bfloat16", "float16"),
    "threads": ("1", str(max(os.cpu_count() or 1, 2))),
}


def switched_copy(module: Any, switch: str, setting: str) -> tuple[Any, dict[str, Any]]:
    """A copy of the module, and what its session is told, under one setting.

    Raises ModelError where it cannot be copied.
    """
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
    return own, {"compiled": compiled, "threads": int(setting) if switch == "threads" else None}


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """So many threads in the block; the number is the process's, and is put back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
