"""The faults that are planted in a TFLite file, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.faults.tflite_model import Operator, TfliteModel

Guilty = list[Operator] | None
"""The guilty operators; None where the model has no place for the fault."""
Plant = Callable[[TfliteModel, np.random.Generator], Guilty]
FLOAT = ("tflite", "onnx2tf")
INTEGER = ("tflite8",)


@dataclass(frozen=True, slots=True)
class LiteFault:
    """``causes`` are the ids accepted as right; ``forms`` the forms it is planted in."""

    name: str
    plant: Plant
    causes: tuple[str, ...]
    forms: tuple[str, ...]


LITE_FAULTS: dict[str, LiteFault] = {}


def fault(*causes: str, forms: tuple[str, ...] = FLOAT) -> Callable[[Plant], Plant]:
    """Register a fault under its function's name."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        LITE_FAULTS[name] = LiteFault(name, plant, causes, forms)
        return plant

    return register
