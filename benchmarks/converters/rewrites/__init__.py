"""Ways to write the same computation otherwise, as exporters, converters and optimisers do."""

from __future__ import annotations

from benchmarks.converters.rewrites import (
    activations,
    convolutions,
    equalised,
    layout,
    linear,
    normalisation,
    padding,
    projections,
    recurrence,
    spelling,
    structure,
    sums,
    tiles,
    tools,
)
from benchmarks.converters.rewrites.registry import RARER, REWRITES, apply

TOOLS = tools.TOOLS
__all__ = [
    "RARER",
    "REWRITES",
    "TOOLS",
    "activations",
    "apply",
    "convolutions",
    "equalised",
    "layout",
    "linear",
    "normalisation",
    "padding",
    "projections",
    "recurrence",
    "spelling",
    "structure",
    "sums",
    "tiles",
]
