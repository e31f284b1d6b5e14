"""What is planted; every module here registers its faults."""

from __future__ import annotations

from benchmarks.causes.faults import attention, elementwise, image, layers, numbers, outputs, recurrent
from benchmarks.causes.faults.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "attention", "elementwise", "image", "layers", "numbers", "outputs", "recurrent"]
