"""Faults before the model: the candidate is fed something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32).reshape(1, 3, 1, 1)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32).reshape(1, 3, 1, 1)

Wrong = Callable[[np.ndarray], np.ndarray]

INPUT_FAULTS: Mapping[str, tuple[Wrong, tuple[str, ...]]] = {
    "input-bgr": (lambda x: x[:, ::-1], ("input-channel-order",)),
    "input-scale": (lambda x: x * np.float32(255), ("input-scale", "input-mean-std")),
    "input-mean-std": (lambda x: (x - _MEAN) / _STD, ("input-mean-std",)),
    "input-reshaped": (
        lambda x: x.transpose(0, 2, 3, 1).reshape(x.shape),
        ("input-layout",),
    ),
    "input-flipped": (lambda x: x[..., ::-1], ("input-layout", "spatial-flip", "input-resize")),
    "input-blurred": (
        lambda x: (np.roll(x, 1, -1) + 2 * x + np.roll(x, -1, -1)) / np.float32(4),
        ("input-resize",),
    ),
}
"""Name → what the candidate is fed for a picture, and the causes accepted."""
