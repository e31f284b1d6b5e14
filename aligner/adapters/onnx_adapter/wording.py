"""ONNX's words: attributes as Netron and the textual form show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aligner.adapters.wording import Word, Wording


def _attribute(name: str) -> Word:
    return lambda value: None if value is None else f"{name} = {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _pads(pads: Sequence[tuple[int, int]]) -> str:
    """All beginnings, then all ends."""
    return f"pads = {_shown((*(begin for begin, _ in pads), *(end for _, end in pads)))}"


def coordinates(neutral: str) -> str:
    """How a Resize calls them."""
    return "pytorch_half_pixel" if neutral == "half_pixel_or_start" else neutral


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _padding_mode(mode: str) -> str | None:
    """A Conv itself pads with zeros alone."""
    return (
        None if mode == "constant" else f'Pad of mode = "{_PAD_MODES[mode]}" before it' if mode in _PAD_MODES else None
    )


WORDING = Wording(
    "ONNX",
    settings={
        "epsilon": _attribute("epsilon"),
        "axis": _attribute("axis"),
        "strides": _attribute("strides"),
        "dilations": _attribute("dilations"),
        "groups": _attribute("group"),
        "kernel": _attribute("kernel_shape"),
        "pads": _pads,
        "output_padding": _attribute("output_padding"),
        "pad.mode": lambda mode: f'mode = "{_PAD_MODES[mode]}"' if mode in _PAD_MODES else None,
        "conv.padding_mode": _padding_mode,
        "resize.mode": _attribute("mode"),
        "coordinates": lambda how: f'coordinate_transformation_mode = "{coordinates(how)}"',
        "rounding": _attribute("nearest_mode"),
        "cubic_a": _attribute("cubic_coeff_a"),
        "antialias": _attribute("antialias"),
        "ceil": _attribute("ceil_mode"),
        "include_pad": _attribute("count_include_pad"),
        "approximate": _attribute("approximate"),
        "alpha": _attribute("alpha"),
        "align_corners": _attribute("align_corners"),
        "padding": _attribute("padding_mode"),
        "order": _attribute("mode"),
        "training": _attribute("training_mode"),
    },
    advice={"inference-mode": "training_mode = 0"},
)
