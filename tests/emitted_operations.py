"""Operations of one tensor [1, 4, 6, 4] that are written into files in several forms."""

from __future__ import annotations

from typing import Any

import numpy as np

_RNG = np.random.default_rng(8)


def numbers(*shape: int) -> Any:
    """Standard normal, of float32."""
    return _RNG.standard_normal(shape).astype("f4")


_WINDOW = {"strides": (2, 2), "dilations": (1, 1), "channels": "first"}
_PLAIN = {"strides": (1, 1), "dilations": (1, 1), "pads": ((0, 0), (0, 0))}
_RESIZED = {"mode": "linear", "rounding": "floor", "shape": (1, 4, 9, 8), "channels": "first"}
_LAYER = {"form": "layer", "epsilon": 1e-3, "axis": 1, "axes": (1,)}
_BATCH = {name: np.abs(numbers(4)) + 0.1 for name in ("scale", "shift", "mean", "variance")}

EMITTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("relu", {}, {}),
    ("relu", {"fused_activation": "tanh"}, {}),
    ("sigmoid", {}, {}),
    ("silu", {}, {}),
    ("mish", {}, {}),
    ("softplus", {}, {}),
    ("gelu", {"approximate": "none"}, {}),
    ("gelu", {"approximate": "quick"}, {}),
    ("hardswish", {"alpha": 1 / 6, "beta": 0.5}, {}),
    ("hardsigmoid", {"alpha": 0.2, "beta": 0.5}, {}),
    ("clip", {"min": -0.5, "max": 0.25}, {}),
    ("leaky_relu", {"alpha": 0.2}, {}),
    ("elu", {"alpha": 1.0}, {}),
    ("prelu", {"axis": 1}, {"slope": numbers(4)}),
    ("softmax", {"axis": 1, "beta": 2.0}, {}),
    ("log_softmax", {"axis": 3}, {}),
    ("reduce", {"form": "mean", "axes": (2, 3), "keep": False}, {}),
    ("transpose", {"perm": (0, 2, 3, 1)}, {}),
    ("reshape", {"shape": (1, 96), "before": (0, 2, 3, 1)}, {}),
    ("slice", {"places": ((2, 1, 2**63 - 1, 2), (-1, -3, -1, 1))}, {}),
    ("pad", {"pads": ((0, 0), (1, 0), (0, 2), (1, 1)), "value": 1.5}, {}),
    ("pad", {"pads": ((0, 0), (0, 0), (1, 1), (2, 2)), "mode": "reflect"}, {}),
    ("flip", {"axes": (1,)}, {}),
    ("split", {"axis": 1, "sizes": (1, 3), "drop": False}, {}),
    ("resize", {**_RESIZED, "coordinates": "half_pixel"}, {}),
    ("resize", {**_RESIZED, "coordinates": "align_corners"}, {}),
    ("resize", {**_RESIZED, "coordinates": "asymmetric", "mode": "nearest"}, {}),
    ("max_pool", {**_WINDOW, "kernel": (3, 3), "pads": ((1, 1), (1, 1))}, {}),
    ("avg_pool", {**_WINDOW, "kernel": (2, 2), "pads": ((1, 1), (0, 0)), "include_pad": True}, {}),
    ("conv", {**_WINDOW, "pads": ((1, 1), (2, 0))}, {"kernel": numbers(5, 4, 3, 3), "bias": numbers(5)}),
    ("conv", {**_PLAIN, "channels": "last", "groups": 4}, {"kernel": numbers(8, 1, 3, 3)}),
    ("matmul", {}, {"kernel": numbers(7, 4), "bias": numbers(7)}),
    ("norm", _LAYER, {"scale": numbers(4), "shift": numbers(4)}),
    ("norm", {"form": "batch", "epsilon": 1e-3, "axis": 1}, _BATCH),
    ("norm", {"form": "instance", "epsilon": 1e-3, "axis": 1}, {}),
]


def taking(kind: str, settings: dict[str, Any]) -> Any:
    """What such an operation takes: channels of four, wherever it has them."""
    return numbers(1, 6, 4, 4) if settings.get("channels") == "last" or kind == "matmul" else numbers(1, 4, 6, 4)
