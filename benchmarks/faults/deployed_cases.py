"""Which cases there are on deployed forms: faults in each half of the networks, and clean pairs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from benchmarks.faults.architectures import halves
from benchmarks.faults.clean import REWRITES
from benchmarks.faults.keras_networks import KERAS_NETWORKS, keras_halves
from benchmarks.faults.lite_clean import LITE_REWRITES
from benchmarks.faults.onnx2tf_form import ONNX2TF_NETWORKS
from benchmarks.faults.planting.lite import LITE_FAULTS

Half = Literal["open", "held"]
KINDS: Mapping[str, tuple[str, ...]] = {
    "tf2onnx": (
        *("weights-changed", "weights-half", "weights-permuted", "weights-transposed", "kernel-flipped"),
        *("weights-bias-missing", "padding-asymmetric", "padding-mode", "conv-stride-dilation-groups"),
        *("activation-variant", "softmax-axis", "resize-coordinate-mode", "concat-order", "operand-swapped"),
        *("residual-missing", "flatten-order", "layout-transposition", "transposition-inserted", "constant-changed"),
        *("reduce-axis-or-bias", "precision-fp16", "kernel-wrong", "nonfinite-introduced", "random-op"),
    ),
    "tflite": tuple(name for name, fault in LITE_FAULTS.items() if "tflite" in fault.forms),
    "tflite8": tuple(name for name, fault in LITE_FAULTS.items() if "tflite8" in fault.forms),
    "onnx2tf": (
        *("weights-changed", "weights-transposed", "weights-bias-missing", "padding-asymmetric", "activation-variant"),
        *("residual-missing", "concat-order", "reduce-axis-or-bias"),
    ),
}
"""Form of the candidate → what is planted in it."""
_KERAS_PAIRS = (
    "tflite-tf2onnx",
    "tf2onnx-tflite",
    "tflite-tf2onnxchw",
    "tf2onnxchw-tflite",
    "tflite-tflite16",
    "tflite-tflite8",
    "tf2onnx-tflite8",
)
_ONNX2TF_PAIRS = ("folded-onnx2tf", "eager-onnx2tf", "dynamo-onnx2tf")


def networks(form: str, seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """The networks that a form is made of, by half."""
    if form == "onnx2tf":
        opened, held = halves(seed)
        return opened & {*ONNX2TF_NETWORKS}, held & {*ONNX2TF_NETWORKS}
    return keras_halves(seed)


def planted(seed: int) -> Iterator[tuple[str, str, str, Half, tuple[str, ...]]]:
    """(name, kind, form, half, networks in the order they are tried)."""
    for form, kinds in KINDS.items():
        for kind in kinds:
            for half, names in zip(("open", "held"), networks(form, seed), strict=True):
                name = f"{form}-{kind}.{half}"
                order = np.random.default_rng([seed, zlib.crc32(name.encode()), 1])
                able = sorted(names)
                yield name, kind, form, half, tuple(able[i] for i in order.permutation(len(able)))


def clean(seed: int) -> Iterator[tuple[str, str, str, Half, tuple[str, ...]]]:
    """Likewise: every network in every pair of its forms, and every rewrite of it."""
    for name, network in KERAS_NETWORKS.items():
        half = _half(name, "tflite", seed)
        picture = len(network.shape) == 4
        for kind in _KERAS_PAIRS:
            if picture or "tf2onnxchw" not in kind:
                yield f"clean-{kind}-{name}", kind, kind.split("-")[1], half, (name,)
        for form, rewrites in (("tf2onnx", REWRITES), ("tflite", LITE_REWRITES)):
            for kind in rewrites:
                yield f"clean-{form}-{kind}-{name}", kind, form, half, (name,)
    for name in ONNX2TF_NETWORKS:
        half = _half(name, "onnx2tf", seed)
        for kind in _ONNX2TF_PAIRS:
            yield f"clean-{kind}-{name}", kind, "onnx2tf", half, (name,)
        for kind in LITE_REWRITES:
            yield f"clean-onnx2tf-{kind}-{name}", kind, "onnx2tf", half, (name,)


def _half(name: str, form: str, seed: int) -> Half:
    return "open" if name in networks(form, seed)[0] else "held"
