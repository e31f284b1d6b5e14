"""What exporters make of PyTorch modules, as seeds: Transformers' architectures and the fault bench's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.graph import Graph, from_proto

NAMES = (
    "resnet",
    "mobilenet",
    "convnext",
    "segformer",
    "vit",
    "bert",
    "gpt2",
    "squeeze",
    "unet",
    "generator",
    "lstm",
    "gru",
)
FORMS = ("onnx", "folded", "dynamo")
WEIGHTS = 3
"""So many sets of weights of each architecture; a file is exported once and kept for later seeds."""


def folder() -> Path:
    return Path(tempfile.gettempdir()) / "aligner-converters"


def export(name: str, rng: np.random.Generator) -> Graph:
    """One architecture by one of the exporters."""
    import onnx

    from benchmarks.faults.architectures import ARCHITECTURES
    from benchmarks.faults.forms import build_form

    seed, form = _drawn(rng)
    return from_proto(onnx.load(build_form(name, form, folder(), seed)), ARCHITECTURES[name].feeds(seed))


def _drawn(rng: np.random.Generator) -> tuple[int, str]:
    return int(rng.integers(WEIGHTS)), FORMS[int(rng.integers(len(FORMS)))]


def before_export(name: str, rng: np.random.Generator, form: str) -> Any:
    """The model that the export of the same draw was made from: a live module ("eager") or a traced file ("trace")."""
    from benchmarks.faults.architectures import ARCHITECTURES
    from benchmarks.faults.forms import build_form

    name, (seed, _) = name.partition(":")[2], _drawn(rng)
    return ARCHITECTURES[name].module(seed) if form == "eager" else str(build_form(name, form, folder(), seed))


EXPORTS: dict[str, Callable[[np.random.Generator], Graph]] = {
    f"export:{name}": lambda rng, name=name: export(name, rng) for name in NAMES
}
