"""ncnn's layers in framework-neutral words."""

from __future__ import annotations

from aligner.adapters.ncnn_adapter.param_file import Layer
from aligner.operations.call import kind_said
from aligner.operations.kinds import kinds_of

_BY_KIND: dict[str, str] = {
    "conv": "Convolution ConvolutionDepthWise Convolution1D ConvolutionDepthWise1D Convolution3D "
    "ConvolutionDepthWise3D DeformableConv2D",
    "conv_transpose": "Deconvolution DeconvolutionDepthWise Deconvolution1D DeconvolutionDepthWise1D Deconvolution3D "
    "DeconvolutionDepthWise3D",
    "matmul": "InnerProduct MatMul Gemm Einsum",
    "norm": "BatchNorm GroupNorm InstanceNorm LayerNorm RMSNorm Normalize LRN MVN",
    "add": "Bias",
    "mul": "Scale",
    "activation": "CELU GLU Shrink BNLL Threshold Power",
    "resize": "Interp",
    "reduce": "Reduction",
    "split": "Slice",
    "slice": "Crop",
    "pad": "Padding",
    "transpose": "Permute",
    "reshape": "Reshape Flatten Squeeze ExpandDims",
    "depth_to_space": "PixelShuffle ShuffleChannel Reorg",
    "quantize": "Quantize Requantize",
    "cumsum": "CumulativeSum",
    "recurrent": "LSTM GRU RNN",
    "attention": "MultiHeadAttention SDPA",
    "embedding": "Embed",
    "other": "GridSample RotaryEmbed Fold Unfold Diag CopyTo",
}
_SPELLED = "ReLU6 PReLU GELU Exp Log Softmax Concat Tile Cast Dequantize Dropout ArgMax"
"""Words that spell their kind."""
_KINDS = kinds_of(_BY_KIND, _SPELLED)
WINDOWED = frozenset(f"{_BY_KIND['conv']} {_BY_KIND['conv_transpose']}".split()) - {"DeformableConv2D"}
"""Layers of kernels that slide, with the parameters that all of these share."""
_PAIRS = {0: "add", 1: "sub", 2: "mul", 3: "div", 4: "minmax", 5: "minmax", 6: "pow", 7: "sub", 8: "div", 9: "pow"}
_SINGLE = {0: "abs", 1: "neg", 5: "sqrt", 7: "exp", 8: "log", 16: "tanh"}
_SEVERAL = {0: "mul", 1: "add", 2: "minmax"}
"""Form of a layer of two blobs, of one, of several → kind."""


def kind_of(layer: Layer) -> str:
    """The neutral kind."""
    form = layer.whole(0)
    if layer.type == "BinaryOp":
        return _PAIRS.get(form, "binary")
    if layer.type == "UnaryOp":
        return _SINGLE.get(form, "unary")
    if layer.type == "Eltwise":
        return _SEVERAL.get(form, "binary")
    if layer.type.startswith("Pooling"):
        return "avg_pool" if form else "max_pool"
    if layer.type == "ReLU":
        return "leaky_relu" if layer.real(0) else "relu"
    if layer.type == "Softmax" and layer.whole(2):
        return "log_softmax"
    if layer.type in _KINDS:
        return _KINDS[layer.type]
    from aligner.adapters.ncnn_adapter.translation import VOCABULARY

    return kind_said(VOCABULARY, layer.type, "opaque")
