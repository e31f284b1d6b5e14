"""What an operation is told besides its operands: one frozen record for each family of kinds.

A field without a default must be said by whoever translates a node: frameworks disagree on it, or it has no neutral
value. A default is neutral: left out, it changes nothing. Settings are mappings as well, for those who hold two of a
kind against each other without knowing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.operations.settings.base import (
    Along,
    Settings,
)
from aligner.operations.settings.elements import (
    Approximated,
    Clip,
    HardSigmoid,
    Infinite,
    Selu,
    Shrink,
    Slope,
    Softplus,
    Swish,
    Threshold,
)
from aligner.operations.settings.layers import (
    AdaptivePool,
    Attention,
    Convolution,
    Einsum,
    GridSample,
    LengthPool,
    Pool,
    Product,
    Recurrent,
    Resize,
    TransposedConvolution,
    Windowed,
)
from aligner.operations.settings.moves import (
    BatchBlocks,
    Blocks,
    Cast,
    Compare,
    Dequantize,
    Fft,
    Fill,
    Flip,
    Mesh,
    Pad,
    Quantize,
    Repeat,
    Reshape,
    Roll,
    Shaped,
    ShapeOf,
    Split,
    Tile,
    Transpose,
)
from aligner.operations.settings.norms import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LengthNorm,
    Norm,
    ResponseNorm,
    RmsNorm,
    Softmax,
)
from aligner.operations.settings.picks import (
    ArgMax,
    Cumulate,
    GatherNd,
    Index,
    NonZero,
    OneHot,
    Reduce,
    RunningSum,
    ScatterElements,
    ScatterNd,
    Slice,
    Sort,
    Triangle,
)

__all__ = [
    "AdaptivePool",
    "Along",
    "Approximated",
    "ArgMax",
    "Attention",
    "BatchBlocks",
    "BatchNorm",
    "Blocks",
    "Cast",
    "Clip",
    "Compare",
    "Convolution",
    "Cumulate",
    "Dequantize",
    "Einsum",
    "Fft",
    "Fill",
    "Flip",
    "GatherNd",
    "GridSample",
    "GroupNorm",
    "HardSigmoid",
    "Index",
    "Infinite",
    "InstanceNorm",
    "LayerNorm",
    "LengthNorm",
    "LengthPool",
    "Mesh",
    "NonZero",
    "Norm",
    "OneHot",
    "Pad",
    "Pool",
    "Product",
    "Quantize",
    "Recurrent",
    "Reduce",
    "Repeat",
    "Reshape",
    "Resize",
    "ResponseNorm",
    "RmsNorm",
    "Roll",
    "RunningSum",
    "ScatterElements",
    "ScatterNd",
    "Selu",
    "Settings",
    "ShapeOf",
    "Shaped",
    "Shrink",
    "Slice",
    "Slope",
    "Softmax",
    "Softplus",
    "Sort",
    "Split",
    "Swish",
    "Threshold",
    "Tile",
    "Transpose",
    "TransposedConvolution",
    "Triangle",
    "Windowed",
    "family_of",
    "settings_of",
]

_FAMILIES: dict[str, type[Settings]] = {
    "conv": Convolution,
    "conv_transpose": TransposedConvolution,
    **dict.fromkeys(("max_pool", "avg_pool"), Pool),
    "length_pool": LengthPool,
    **dict.fromkeys(("adaptive_max_pool", "adaptive_avg_pool"), AdaptivePool),
    "matmul": Product,
    "einsum": Einsum,
    "attention": Attention,
    "recurrent": Recurrent,
    "norm": Norm,
    "response_norm": ResponseNorm,
    **dict.fromkeys(("softmax", "log_softmax"), Softmax),
    "resize": Resize,
    "grid_sample": GridSample,
    "reduce": Reduce,
    "cumsum": RunningSum,
    "cumulate": Cumulate,
    "argmax": ArgMax,
    "sort": Sort,
    "slice": Slice,
    **dict.fromkeys(("index", "put"), Index),
    **dict.fromkeys(("lookup", "gather_elements", "concat", "stack", "glu", "prelu"), Along),
    "gather_nd": GatherNd,
    "scatter_nd": ScatterNd,
    "scatter_elements": ScatterElements,
    "one_hot": OneHot,
    "nonzero": NonZero,
    "triangle": Triangle,
    "split": Split,
    "transpose": Transpose,
    "reshape": Reshape,
    "expand": Shaped,
    "tile": Tile,
    "repeat": Repeat,
    "flip": Flip,
    "roll": Roll,
    "pad": Pad,
    "depth_to_space": Blocks,
    **dict.fromkeys(("space_to_batch", "batch_to_space"), BatchBlocks),
    "fill": Fill,
    "mesh": Mesh,
    "shape": ShapeOf,
    "fft": Fft,
    "cast": Cast,
    "dequantize": Dequantize,
    "quantize": Quantize,
    "compare": Compare,
    "clip": Clip,
    **dict.fromkeys(("leaky_relu", "elu", "celu"), Slope),
    "silu": Swish,
    "selu": Selu,
    **dict.fromkeys(("gelu", "erf"), Approximated),
    **dict.fromkeys(("hardsigmoid", "hardswish"), HardSigmoid),
    "softplus": Softplus,
    "threshold": Threshold,
    "shrink": Shrink,
    "isinf_signed": Infinite,
}
_NORMS: dict[Any, type[Norm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
    "group": GroupNorm,
    "layer": LayerNorm,
    "rms": RmsNorm,
    "length": LengthNorm,
}


def family_of(kind: str) -> type[Settings]:
    """The record of a kind's settings; ``Settings`` itself where it has none."""
    return _FAMILIES.get(kind, Settings)


def settings_of(kind: str, given: Mapping[str, Any]) -> Settings:
    """Settings as the record of a kind; raises TypeError for names that the family does not know, or misses."""
    family = family_of(kind)
    if isinstance(given, family):
        return given
    said = dict(given)
    if family is Norm:
        family = _NORMS.get(said.get("form"), Norm)
    return family(**said)
