"""Faults of TFLite files, each a function that edits one model and says which operators are guilty."""

from __future__ import annotations

from benchmarks.faults.planting import lite_quantization, lite_structure, lite_weights  # registers their faults
from benchmarks.faults.planting.lite_registry import LITE_FAULTS, LiteFault

__all__ = ["LITE_FAULTS", "LiteFault", "lite_quantization", "lite_structure", "lite_weights"]
