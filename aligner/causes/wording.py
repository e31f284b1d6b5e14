"""What helps, in the words of the frameworks at hand, the reference's first: no advice names another one's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

PYTORCH, KERAS, ONNX = "PyTorch", "Keras", "ONNX"
FAMILIES = {
    "pytorch": PYTORCH,
    "torchscript": PYTORCH,
    "torch-export": PYTORCH,
    "tensorflow": KERAS,
    "onnx": ONNX,
}
"""Whose words a framework's models are written in; of formats that nobody writes by hand the converter's source is."""
Word = Callable[[Any], str | None]
"""A setting's value → the argument or attribute, None where the framework has none for that value."""


INFERENCE_MODE = {
    PYTORCH: "model.eval(), and F.dropout(x, training=self.training)",
    KERAS: "model(x, training=False)",
    ONNX: "training_mode = 0",
}
"""What dropout and batch norm need."""


def in_words_of(frameworks: Iterable[str], said: Mapping[str, str]) -> str:
    """What is said for each of the frameworks, in brackets; nothing where nothing is."""
    families = dict.fromkeys(FAMILIES.get(one, "") for one in frameworks)
    found = [f"{family}: {said[family]}" for family in families if said.get(family)]
    return f" ({'; '.join(found)})" if found else ""


def settings_in_words_of(frameworks: Iterable[str], kind: str, settings: Mapping[str, Any]) -> str:
    """Settings of one kind of operation as arguments and attributes; those of which none is left out."""
    said = {}
    for family, words in _SETTINGS.items():
        found = [_word(words, kind, name)(value) for name, value in settings.items()]
        said[family] = ", ".join(one for one in found if one)
    return in_words_of(frameworks, said)


def _word(words: Mapping[str, Word], kind: str, name: str) -> Word:
    return words.get(f"{kind}.{name}") or words.get(name) or (lambda _: None)


def _argument(name: str) -> Word:
    """As Python writes it; a number for all axes where they are alike."""
    return lambda value: None if value is None else f"{name}={_python(value)}"


def _attribute(name: str) -> Word:
    """As Netron and the textual form of ONNX show it."""
    return lambda value: None if value is None else f"{name} = {_onnx(value)}"


def _python(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return _python(value[0]) if len(set(value)) == 1 else f"({', '.join(map(_python, value))})"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _onnx(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_onnx, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


Pads = Sequence[tuple[int, int]]
"""(begin, end) for each axis."""


def padded_by_function(pads: Pads) -> str | None:
    """The last axes first, as far as anything is padded; layers of PyTorch pad both ends alike."""
    if all(begin == end for begin, end in pads):
        return f"padding={_python(tuple(begin for begin, _ in pads))}"
    return f"{_padded(pads)} before a layer without padding"


def _padded(pads: Pads) -> str:
    first = next((axis for axis, pair in enumerate(pads) if any(pair)), len(pads) - 1)
    return f"F.pad(x, {tuple(size for pair in reversed(pads[first:]) for size in pair)})"


def padded_by_layer(pads: Pads) -> str | None:
    """Those between samples and channels, wherever channels stand; layers of Keras pad by a word."""
    spatial = tuple(map(tuple, pads if len(pads) < 4 else [pair for pair in pads[1:] if any(pair)]))
    if not any(map(any, spatial)):
        return 'padding="valid"'
    return f'ZeroPadding{len(spatial)}D({spatial}) before a layer with padding="valid"'


def _flat_pads(pads: Pads) -> str:
    """All beginnings, then all ends."""
    return f"pads = {_onnx((*(begin for begin, _ in pads), *(end for _, end in pads)))}"


_TORCH_MODES = {"nearest": "nearest", "cubic": "bicubic"}
_TORCH_ROUNDINGS = {"floor": "nearest", "round_prefer_floor": "nearest-exact", "round_prefer_ceil": "nearest-exact"}
_ONNX_PADS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_SETTINGS: dict[str, dict[str, Word]] = {
    PYTORCH: {
        "epsilon": _argument("eps"),
        "axis": _argument("dim"),
        "strides": _argument("stride"),
        "dilations": _argument("dilation"),
        "groups": _argument("groups"),
        "kernel": _argument("kernel_size"),
        "pads": padded_by_function,
        "pad.pads": _padded,
        "output_padding": _argument("output_padding"),
        "padding_mode": lambda mode: f'padding_mode="{"zeros" if mode == "constant" else mode}"',
        "mode": _argument("mode"),
        "value": _argument("value"),
        "resize.mode": lambda mode: f'mode="{_TORCH_MODES[mode]}"' if mode in _TORCH_MODES else None,
        "coordinates": lambda how: f"align_corners={how == 'align_corners'}" if how != "asymmetric" else None,
        "rounding": lambda how: f'mode="{_TORCH_ROUNDINGS[how]}"' if how in _TORCH_ROUNDINGS else None,
        "antialias": _argument("antialias"),
        "ceil": _argument("ceil_mode"),
        "include_pad": _argument("count_include_pad"),
        "divisor": _argument("divisor_override"),
        "approximate": _argument("approximate"),
        "leaky_relu.alpha": _argument("negative_slope"),
        "elu.alpha": _argument("alpha"),
        "softplus.beta": _argument("beta"),
        "align_corners": _argument("align_corners"),
        "padding": _argument("padding_mode"),
        "training": lambda training: "model.train()" if training else "model.eval()",
    },
    KERAS: {
        "epsilon": _argument("epsilon"),
        "axis": _argument("axis"),
        "strides": _argument("strides"),
        "dilations": _argument("dilation_rate"),
        "groups": _argument("groups"),
        "pads": padded_by_layer,
        "pad.pads": lambda _: None,
        "approximate": lambda form: f"approximate={form == 'tanh'}",
        "leaky_relu.alpha": _argument("negative_slope"),
        "elu.alpha": _argument("alpha"),
        "antialias": _argument("antialias"),
        "training": lambda training: f"model(x, training={bool(training)})",
    },
    ONNX: {
        "epsilon": _attribute("epsilon"),
        "axis": _attribute("axis"),
        "strides": _attribute("strides"),
        "dilations": _attribute("dilations"),
        "groups": _attribute("group"),
        "kernel": _attribute("kernel_shape"),
        "pads": _flat_pads,
        "output_padding": _attribute("output_padding"),
        "pad.mode": lambda mode: f'mode = "{_ONNX_PADS[mode]}"' if mode in _ONNX_PADS else None,
        "resize.mode": _attribute("mode"),
        "coordinates": _attribute("coordinate_transformation_mode"),
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
}
