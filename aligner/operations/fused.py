"""What a node may apply to its own result before it gives it out: a word, and its numbers behind it if it takes any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.records.array import Array

FUSED = ("relu", "relu6", "relu_n1_to_1", "tanh", "none")
"""Words that take no number and that a layer of any format may have."""
_PLAIN = frozenset((*FUSED, "sigmoid", "silu", "mish"))
_NUMBERS = {
    "leaky_relu": ("alpha",),
    "elu": ("alpha",),
    "hardsigmoid": ("alpha", "beta"),
    "hardswish": ("alpha", "beta"),
    "clip": ("min", "max"),
}


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    import numpy as np

    return 1 / (1 + np.exp(-x))


def fused_word(kind: str, numbers: Sequence[float]) -> str:
    """The word for a kind of activation told some numbers, as many digits of each as float32 holds."""
    return " ".join((kind, *(f"{number:.7g}" for number in numbers)))


def as_fused(kind: str, settings: Mapping[str, object]) -> str | None:
    """The word for an activation that stands by itself; None where layers have none."""
    names = () if kind in _PLAIN else _NUMBERS.get(kind)
    return None if names is None else fused_word(kind, [float(str(settings[name])) for name in names])


def fused_kind(word: str) -> str:
    """The kind of operation that a word stands for."""
    return "clip" if word == "relu_n1_to_1" else word.partition(" ")[0]


def fused_settings(word: str) -> dict[str, float]:
    """What that operation is told. Raises KeyError for a word, or a count of numbers, that is not known."""
    if word in _PLAIN:
        return {"min": -1.0, "max": 1.0} if word == "relu_n1_to_1" else {}
    kind, *numbers = word.split(" ")
    names = _NUMBERS[kind]
    if len(numbers) != len(names):
        raise KeyError(word)
    return dict(zip(names, map(float, numbers), strict=True))
