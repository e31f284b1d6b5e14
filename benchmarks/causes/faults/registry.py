"""Faults by name: what is planted, and what must be said of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from benchmarks.causes.network import Domain, Place, Size

Pair = tuple[nn.Module, nn.Module]
"""The step as it should be, and as it is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``causes`` are the ids that are right; ``classes`` the evidence that may be claimed for it."""

    name: str
    plant: Callable[[random.Random, Size], Pair]
    causes: frozenset[str]
    domain: Domain
    places: tuple[Place, ...]
    classes: frozenset[str]
    square: bool
    opset: int | None


FAULTS: dict[str, Fault] = {}


def fault(
    *causes: str,
    domain: Domain = "image",
    places: tuple[Place, ...] = ("start", "middle", "end"),
    classes: tuple[str, ...] = ("proven",),
    square: bool = False,
    opset: int | None = None,
) -> Callable[[Callable[[random.Random, Size], Pair]], Callable[[random.Random, Size], Pair]]:
    """Register a fault under its function's name."""

    def add(plant: Callable[[random.Random, Size], Pair]) -> Callable[[random.Random, Size], Pair]:
        name = plant.__name__
        FAULTS[name] = Fault(name, plant, frozenset(causes), domain, places, frozenset(classes), square, opset)
        return plant

    return add
