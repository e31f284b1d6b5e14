"""One fault at a time, of the kinds that conversions and deployments have."""

from __future__ import annotations

from benchmarks.converters.faults import constants, inserted, rarer, settings, weights, wiring
from benchmarks.converters.faults.registry import FAULTS, RARER, Planted

INSERTED = tuple(name for name, plant in FAULTS.items() if plant.__module__ == inserted.__name__)
"""Those that put a node in where there was none."""

__all__ = ["FAULTS", "INSERTED", "RARER", "Planted", "constants", "inserted", "rarer", "settings", "weights", "wiring"]
