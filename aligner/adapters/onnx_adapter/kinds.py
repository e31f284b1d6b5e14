"""ONNX's operators, and onnxruntime's own, in framework-neutral words."""

from __future__ import annotations

from aligner.operations.call import kind_said
from aligner.operations.kinds import kinds_of

_BY_KIND: dict[str, str] = {
    "conv": "Conv ConvInteger QLinearConv FusedConv NhwcConv NhwcFusedConv DeformConv",
    "matmul": "MatMul Gemm MatMulInteger QLinearMatMul QGemm FusedMatMul FusedGemm Einsum MatMulNBits "
    "MatMulIntegerToFloat DynamicQuantizeMatMul MatMulBnb4 TransposeMatMul GemmFastGelu",
    "norm": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LRN "
    "LpNormalization MeanVarianceNormalization SimplifiedLayerNormalization SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization GroupNorm SkipGroupNorm",
    "add": "Add QLinearAdd BiasAdd",
    "mul": "Mul QLinearMul",
    "unary": "IsInf Det Inverse Rsqrt",
    "binary": "Mod And Or Xor BitShift BitwiseAnd BitwiseOr BitwiseXor Mean",
    "leaky_relu": "QLinearLeakyRelu",
    "gelu": "Gelu FastGelu BiasGelu QuickGelu",
    "sigmoid": "QLinearSigmoid",
    "resize": "Resize Upsample",
    "max_pool": "MaxPool GlobalMaxPool NhwcMaxPool MaxpoolWithMask",
    "avg_pool": "AveragePool GlobalAveragePool QLinearAveragePool QLinearGlobalAveragePool",
    "reduce": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceSumSquare GlobalLpPool LpPool QLinearReduceMean",
    "softmax": "Softmax QLinearSoftmax",
    "concat": "Concat QLinearConcat",
    "gather": "Gather GatherElements GatherND Compress",
    "scatter": "Scatter ScatterElements ScatterND MaxUnpool TensorScatter Col2Im",
    "pad": "Pad CenterCropPad",
    "reshape": "Reshape Flatten Squeeze Unsqueeze",
    "depth_to_space": "DepthToSpace SpaceToDepth",
    "cast": "Cast CastLike BitCast",
    "quantize": "QuantizeLinear DynamicQuantizeLinear",
    "dequantize": "DequantizeLinear",
    "dropout": "Dropout BitmaskDropout",
    "shape": "Shape Size",
    "argmax": "ArgMax ArgMin",
    "sort": "Unique",
    "nms": "NonMaxSuppression",
    "random": "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial",
    "recurrent": "LSTM GRU RNN DynamicQuantizeLSTM AttnLSTM",
    "attention": "Attention MultiHeadAttention GroupQueryAttention QAttention DecoderAttention PackedAttention "
    "LongformerAttention SparseAttention DecoderMaskedMultiHeadAttention",
    "embedding": "EmbedLayerNormalization RotaryEmbedding GatherBlockQuantized",
    "cumsum": "CumSum CumProd",
    "control_flow": "If",
    "loop": "Loop Scan",
}
_SPELLED = "ConvTranspose Sub Div Pow Clip PRelu LogSoftmax Split Slice Transpose Expand Tile Constant TopK"
"""Words that spell their kind."""
_KINDS = kinds_of(_BY_KIND, _SPELLED)
_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")


def kind_of(op_type: str, domain: str = "") -> str:
    """The neutral kind; operators of domains that nobody here knows are opaque."""
    if domain not in _KNOWN_DOMAINS:
        return "opaque"
    if op_type in _KINDS:
        return _KINDS[op_type]
    from aligner.adapters.onnx_adapter.translation import VOCABULARY

    own = domain in ("", "ai.onnx", "ai.onnx.ml")
    return kind_said(VOCABULARY, op_type if own else f"{domain}::{op_type}", "other" if own else "opaque")
