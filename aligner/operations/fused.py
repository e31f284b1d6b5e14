"""What a node may apply to its own result before it gives it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aligner.records.array import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    import numpy as np

    return 1 / (1 + np.exp(-x))


FUSED: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "relu_n1_to_1": lambda x: x.clip(-1, 1),
    "tanh": lambda x: 2 * sigmoid(2 * x) - 1,
    "none": lambda x: x,
}
