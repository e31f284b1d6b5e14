"""PyTorch's words, live, traced or exported."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.adapters.wording import Wording, argument, as_python

Pads = Sequence[tuple[int, int]]
"""(begin, end) for each axis."""


def padding(pads: Pads) -> str:
    """What pads a layer's input; layers pad both ends alike."""
    if all(begin == end for begin, end in pads):
        return f"padding={as_python(tuple(begin for begin, _ in pads))}"
    return f"{_padded(pads)} before a layer without padding"


def _padded(pads: Pads) -> str:
    """The last axes first, as far as anything is padded."""
    first = next((axis for axis, pair in enumerate(pads) if any(pair)), len(pads) - 1)
    return f"F.pad(x, {tuple(size for pair in reversed(pads[first:]) for size in pair)})"


_MODES = {"nearest": "nearest", "cubic": "bicubic"}
_ROUNDINGS = {"floor": "nearest", "round_prefer_floor": "nearest-exact", "round_prefer_ceil": "nearest-exact"}

WORDING = Wording(
    "PyTorch",
    settings={
        "epsilon": argument("eps"),
        "axis": argument("dim"),
        "strides": argument("stride"),
        "dilations": argument("dilation"),
        "groups": argument("groups"),
        "kernel": argument("kernel_size"),
        "pads": padding,
        "pad.pads": _padded,
        "output_padding": argument("output_padding"),
        "padding_mode": lambda mode: f'padding_mode="{"zeros" if mode == "constant" else mode}"',
        "mode": argument("mode"),
        "value": argument("value"),
        "resize.mode": lambda mode: f'mode="{_MODES[mode]}"' if mode in _MODES else None,
        "coordinates": lambda how: f"align_corners={how == 'align_corners'}" if how != "asymmetric" else None,
        "rounding": lambda how: f'mode="{_ROUNDINGS[how]}"' if how in _ROUNDINGS else None,
        "antialias": argument("antialias"),
        "ceil": argument("ceil_mode"),
        "include_pad": argument("count_include_pad"),
        "divisor": argument("divisor_override"),
        "approximate": argument("approximate"),
        "leaky_relu.alpha": argument("negative_slope"),
        "elu.alpha": argument("alpha"),
        "softplus.beta": argument("beta"),
        "align_corners": argument("align_corners"),
        "padding": argument("padding_mode"),
        "training": lambda training: "model.train()" if training else "model.eval()",
    },
    advice={
        "inference-mode": "model.eval(), and F.dropout(x, training=self.training)",
        "exported-choice": "torch.jit.script, torch.cond or torch.where",
        "written-anew": "x = torch.where(…) or x = torch.cat(…)",
        "rounded-division": "torch.div(…, rounding_mode=…)",
        "loaded-weights": "what load_state_dict(strict=False) returns; a nested checkpoint (params_ema, state_dict …) "
        "must be unwrapped and a prefix like 'module.' stripped first",
        "order-of-blocks": "nn.PixelShuffle is CRD",
    },
)
