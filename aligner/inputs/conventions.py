"""What an input's name and declaration say about the value it expects, where convention is firm enough to say it."""

from __future__ import annotations

import re

from aligner.records.graph import InputSpec

_STATES = frozenset("state states hidden cell carry h c hx cx hn cn".split())
_KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_INTEGER_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}


def words(name: str) -> list[str]:
    """The lower-case words in a name: "tokenTypeIds_1:0" → token, type, ids."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def is_state(spec: InputSpec) -> bool:
    """Whether the name is that of a recurrent state; an encoder's hidden states are data and are not.

    The letters h and c mean a state from rank 2 on; a vector may well be called c.
    """
    found = set(words(spec.name))
    if spec.shape is not None and len(spec.shape) < 2:
        found -= {"h", "c"}
    return bool(found & _STATES) and not {"hidden", "states"} <= found and "encoder" not in found


def is_tokens(spec: InputSpec) -> bool:
    """Whether the input looks like token ids."""
    integer = spec.dtype is None or "int" in spec.dtype
    return integer and bool({"ids", "tokens"} & set(words(spec.name))) and derivable_kind(spec) is None


def derivable_kind(spec: InputSpec) -> str | None:
    """What the input is when nobody gives it: "state" (zeros), "zeros", "ones", "range"; None when it must be given.

    Masks above rank 2 are data (a picture's mask), and so are states of rank 0.
    """
    found = set(words(spec.name))
    rank = None if spec.shape is None else len(spec.shape)
    if rank == 0:
        return None
    if {"token", "type"} <= found or "segment" in found:
        return "zeros"
    if "positions" in found or {"position", "ids"} <= found:
        return "range"
    if "mask" in found and (rank is None or rank <= 2):
        if "padding" in found:
            return "zeros"
        return "ones" if "attention" in found or found <= {"mask", "input", "masks"} else None
    return "state" if is_state(spec) else None


def real_range(spec: InputSpec) -> tuple[float, float] | None:
    """The real values that a quantised input can hold; None for any other."""
    quantization = spec.quantization
    if quantization is None or spec.dtype not in _INTEGER_LIMITS or not quantization.scale:
        return None
    low, high = _INTEGER_LIMITS[spec.dtype]
    zeros = quantization.zero_point or (0,)
    pairs = list(zip(quantization.scale, zeros * (len(quantization.scale) // len(zeros)), strict=False))
    return min(scale * (low - zero) for scale, zero in pairs), max(scale * (high - zero) for scale, zero in pairs)


def pixel_range(spec: InputSpec) -> tuple[float, float] | None:
    """Which of the usual ranges of pixels a quantised input was calibrated for; None where it does not tell."""
    actual = real_range(spec)
    if actual is None:
        return None
    for low, high in _KNOWN_RANGES:
        slack = 0.1 * (high - low)
        if abs(actual[0] - low) <= slack and abs(actual[1] - high) <= slack:
            return low, high
    return None
