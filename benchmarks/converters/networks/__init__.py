"""Random networks of the shapes that people convert; every one is drawn from a generator alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks import attention, convolutional, detection, pixels, recurrent, tabular

NETWORKS: dict[str, Callable[[np.random.Generator], Graph]] = {
    "cnn": convolutional.cnn,
    "mobile": convolutional.mobile,
    "convnext": convolutional.convnext,
    "transformer": attention.transformer,
    "llama": attention.llama,
    "vit": attention.vit,
    "recurrent": recurrent.recurrent,
    "unet": pixels.unet,
    "upscaler": pixels.upscaler,
    "tabular": tabular.tabular,
    "detector": detection.detector,
}
