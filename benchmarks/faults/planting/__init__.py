"""Faults and rewrites, each a function that edits one model and says which nodes are guilty."""

from __future__ import annotations

from benchmarks.faults.planting import attributes, quantization, structure, weights  # registers their faults
from benchmarks.faults.planting.registry import FAULTS, OnnxFault

__all__ = ["FAULTS", "OnnxFault", "attributes", "quantization", "structure", "weights"]
