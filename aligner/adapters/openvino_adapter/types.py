"""Element types: OpenVINO's words, ours, and numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np

_WORDS = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    **{f"{sign}{bits}": f"{word}{bits}" for sign, word in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)},
    "i4": "int4",
    "u4": "uint4",
    "boolean": "bool",
}
_STAND_INS = {"bfloat16": "float32", "int4": "int8", "uint4": "uint8"}
"""Types that numpy lacks → what holds them exactly."""
BITS = {"u1": 1, "u2": 2, "u3": 3, "u4": 4, "i4": 4, "nf4": 4, "f4e2m1": 4, "u6": 6, "boolean": 8} | {
    f"{letter}{bits}": bits for letter in ("f", "i", "u") for bits in (8, 16, 32, 64)
}
BITS |= {"bf16": 16, "f8e4m3": 8, "f8e5m2": 8, "f8e8m0": 8}
"""Type in a file → bits of an element."""


def word_of(element: Any) -> str:
    """ "float32" for a type of the runtime; its own word for what has no other."""
    name = element.get_type_name()
    return _WORDS.get(name, str(name))


def holder_of(word: str) -> np.dtype[np.generic] | None:
    """The numpy type that holds elements of a type exactly; None for texts and what is not known."""
    try:
        found = np.dtype(_STAND_INS.get(word, word))
    except TypeError:
        return None
    return found if found.kind in "fiub" else None
