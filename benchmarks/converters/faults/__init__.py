"""One fault at a time, of the kinds that conversions and deployments have."""

from __future__ import annotations

from benchmarks.converters.faults import constants, inserted, settings, weights, wiring
from benchmarks.converters.faults.registry import FAULTS, Planted

__all__ = ["FAULTS", "Planted", "constants", "inserted", "settings", "weights", "wiring"]
