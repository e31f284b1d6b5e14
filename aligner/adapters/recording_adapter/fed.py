"""What is asked of a recording: it shows what was recorded, of the input that it was made with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aligner.adapters.base import Injection
from aligner.errors import InputError, listing
from aligner.records.array import Array
from aligner.records.graph import Graph

_SAME_INPUT = 1e-6
"""Difference up to which a fed array is the recorded one, relative to its largest element."""


def check_fed(recorded: Mapping[str, Array], inputs: Collection[str], feeds: Mapping[str, Any]) -> None:
    """Raise InputError where something else is fed than what was recorded, or to no input of the model."""
    unknown = [name for name in feeds if name not in inputs]
    if unknown:
        raise InputError(
            "the recorded model has no such input",
            found=listing(unknown),
            hint=f"its inputs are {listing(inputs) or 'not recorded'}",
        )
    for name, array in feeds.items():
        if name in recorded and not _same(recorded[name], array):
            raise InputError(
                "the recording was made with another input",
                found=f'"{name}": {array.dtype} {array.shape} fed, {recorded[name].dtype} '
                f"{recorded[name].shape} with other values recorded",
                hint="leave the input out, and both sides are fed what was recorded",
            )


def check_asked(graph: Graph, observe: Collection[str] | None, inject: Injection | None) -> None:
    """Raise InputError where something is injected, or a value asked for that the recording does not know."""
    if inject:
        raise InputError(
            "nothing can be injected into a recording",
            found=listing(inject),
            hint="give the model itself to measure local errors",
        )
    unknown = sorted(set(observe or ()) - graph.values.keys() - graph.weights.keys())
    if unknown:
        raise InputError(
            "the recording has no such value", found=listing(unknown), hint="align inspect lists its values"
        )


def _same(recorded: Array, fed: Any) -> bool:
    import numpy as np

    fed = np.asarray(fed)
    if recorded.shape != fed.shape:
        return False
    if recorded.dtype.kind not in "fiubc" or fed.dtype.kind not in "fiubc":
        return bool(np.array_equal(recorded.astype(object), fed.astype(object)))
    if recorded.size == 0:
        return True
    wide = np.complex128 if "c" in recorded.dtype.kind + fed.dtype.kind else np.float64
    left, right = recorded.astype(wide), fed.astype(wide)
    finite = np.isfinite(left) & np.isfinite(right)
    scale = np.abs(left[finite]).max(initial=0.0)
    same = np.abs(left[finite] - right[finite]).max(initial=0.0) <= _SAME_INPUT * scale
    return bool(same and np.array_equal(left[~finite], right[~finite], equal_nan=True))
