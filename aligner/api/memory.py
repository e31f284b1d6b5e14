"""How much may be kept, and whether looking changed what was seen."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from aligner.records.alignment import Sketch
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

_SHARE = 4
_MOST = 1 << 30
"""Bytes beyond which keeping tensors gains little: in lockstep they need not be kept."""
_FALLBACK = 2 << 30
_DISTURBED = 1e-4


def keep_budget(limit: int | None) -> int:
    """Bytes of tensors that may be kept: the user's limit, else a quarter of what is free and at most 1 GiB."""
    return limit if limit is not None else min(_MOST, available() // _SHARE)


def available() -> int:
    """Free memory in bytes, as Linux tells it; 2 GiB where it cannot be told."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _FALLBACK


def give_back() -> None:
    """Let the allocator return what was freed; glibc keeps blocks of up to 32 MiB for itself otherwise."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def observer_effect(
    role: str, untouched: Sequence[CapturedTensor], observed: Mapping[str, Sketch], graph: Graph
) -> str | None:
    """A sentence when the untouched run's outputs differ from the observed run's by more than rounding."""
    from aligner.capture.profile import sketch

    for tensor in untouched:
        seen = observed.get(tensor.value)
        if seen is None or tensor.occurrence:
            continue
        plain = sketch(tensor)
        if not (plain.finite and seen.finite):
            continue
        gap = abs(plain.rms - seen.rms) + abs(plain.mean - seen.mean)
        if gap > _DISTURBED * max(plain.rms, math.ulp(1.0)):
            name = graph.values[tensor.value].name if tensor.value in graph.values else tensor.value
            return (
                f"{role}: observing changes output {name} (mean {plain.mean:.6g} untouched, {seen.mean:.6g} observed): "
                "a fused kernel or state between calls may be the culprit; try --ort-optimization none"
            )
    return None
