"""How far rounding at the nodes carries a model's own outputs: one tensor after another moved by its bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aligner.execution.side import OpenSide

PLACES = 8
"""Tensors that are moved, spread evenly over the depth; each stands for its share of all of them."""


def carried_rounding(side: OpenSide, bounds: Mapping[str, float], outputs: Sequence[str]) -> dict[str, float]:
    """Output value → its largest change, summed over all of ``bounds`` (value → how far it may be off), a sample of
    ``PLACES`` of them run; empty where nothing can be injected.

    The sum is first order: errors of different nodes are added as if none undid another.
    """
    moving = [value for value, limit in bounds.items() if limit > 0]
    if not moving or not side.session.capabilities.can_inject:
        return {}
    chosen = [moving[place] for place in np.linspace(0, len(moving) - 1, min(PLACES, len(moving))).astype(int)]
    plain = {tensor.value: tensor.real() for tensor in side.replay(list(outputs)) if tensor.occurrence == 0}
    kept = {tensor.value: tensor.array for tensor in side.replay(chosen) if tensor.occurrence == 0}
    changes = dict.fromkeys(plain, 0.0)
    for value in dict.fromkeys(chosen):
        if value not in kept or kept[value].dtype.kind != "f":
            continue
        signs = np.random.default_rng(side.seed).choice((-1.0, 1.0), kept[value].shape)
        moved = (kept[value].astype(np.float64) + bounds[value] * signs).astype(kept[value].dtype)
        for tensor in side.run(list(outputs), {value: moved}, phase="carrying rounding to the outputs"):
            if tensor.occurrence == 0 and tensor.value in plain:
                changes[tensor.value] += _change(tensor.real(), plain[tensor.value])
    return {value: changes[value] * len(moving) / len(chosen) for value in plain}


def _change(moved: object, plain: object) -> float:
    with np.errstate(all="ignore"):
        apart = np.abs(np.asarray(moved, np.float64) - np.asarray(plain, np.float64))
    finite = apart[np.isfinite(apart)]
    return float(finite.max()) if finite.size else 0.0
