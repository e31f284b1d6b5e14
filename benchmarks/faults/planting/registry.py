"""The faults that are planted in an ONNX file, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.faults.onnx_model import Node, OnnxModel

Guilty = list[Node] | None
"""The guilty nodes; None where the model has no place for the fault."""
Plant = Callable[[OnnxModel, np.random.Generator], Guilty]


@dataclass(frozen=True, slots=True)
class OnnxFault:
    """``causes`` are the ids accepted as right; ``forms`` the exported forms it is planted in."""

    name: str
    plant: Plant
    causes: tuple[str, ...]
    forms: tuple[str, ...]
    doubles: bool


FAULTS: dict[str, OnnxFault] = {}


def fault(
    *causes: str, forms: tuple[str, ...] = ("onnx", "folded", "dynamo", "slim"), doubles: bool = True
) -> Callable[[Plant], Plant]:
    """Register a fault under its function's name; ``doubles`` says that two of the kind can stand in one model."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        FAULTS[name] = OnnxFault(name, plant, causes, forms, doubles)
        return plant

    return register
