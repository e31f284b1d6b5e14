"""ONNX's operators, and onnxruntime's own, in framework-neutral words."""

from __future__ import annotations

from aligner.operations.call import kind_said

_BY_KIND: dict[str, str] = {
    "conv": "Conv ConvInteger QLinearConv FusedConv NhwcConv NhwcFusedConv DeformConv",
    "conv_transpose": "ConvTranspose",
    "matmul": "MatMul Gemm MatMulInteger QLinearMatMul QGemm FusedMatMul FusedGemm Einsum MatMulNBits "
    "MatMulIntegerToFloat DynamicQuantizeMatMul MatMulBnb4 TransposeMatMul GemmFastGelu",
    "norm": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LRN "
    "LpNormalization MeanVarianceNormalization SimplifiedLayerNormalization SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization GroupNorm SkipGroupNorm",
    "add": "Add Sum QLinearAdd BiasAdd",
    "sub": "Sub",
    "mul": "Mul QLinearMul",
    "div": "Div",
    "pow": "Pow",
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "abs": "Abs",
    "neg": "Neg",
    "erf": "Erf",
    "minmax": "Min Max",
    "unary": "Reciprocal Floor Ceil Round Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Not BitwiseNot "
    "IsNaN IsInf Det Inverse Rsqrt",
    "binary": "Mod And Or Xor BitShift BitwiseAnd BitwiseOr BitwiseXor Mean",
    "relu": "Relu",
    "clip": "Clip",
    "leaky_relu": "LeakyRelu QLinearLeakyRelu",
    "prelu": "PRelu",
    "elu": "Elu",
    "gelu": "Gelu FastGelu BiasGelu QuickGelu",
    "silu": "Swish",
    "sigmoid": "Sigmoid QLinearSigmoid",
    "tanh": "Tanh",
    "hardsigmoid": "HardSigmoid",
    "hardswish": "HardSwish",
    "softplus": "Softplus",
    "mish": "Mish",
    "activation": "Selu Celu ThresholdedRelu Softsign Shrink",
    "resize": "Resize Upsample",
    "max_pool": "MaxPool GlobalMaxPool NhwcMaxPool MaxpoolWithMask",
    "avg_pool": "AveragePool GlobalAveragePool QLinearAveragePool QLinearGlobalAveragePool",
    "reduce": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceSumSquare GlobalLpPool LpPool QLinearReduceMean",
    "softmax": "Softmax QLinearSoftmax",
    "log_softmax": "LogSoftmax",
    "concat": "Concat QLinearConcat",
    "split": "Split",
    "slice": "Slice",
    "gather": "Gather GatherElements GatherND Compress",
    "scatter": "Scatter ScatterElements ScatterND MaxUnpool TensorScatter Col2Im",
    "pad": "Pad CenterCropPad",
    "transpose": "Transpose",
    "reshape": "Reshape Flatten Squeeze Unsqueeze",
    "expand": "Expand",
    "tile": "Tile",
    "depth_to_space": "DepthToSpace SpaceToDepth",
    "cast": "Cast CastLike BitCast",
    "quantize": "QuantizeLinear DynamicQuantizeLinear",
    "dequantize": "DequantizeLinear",
    "identity": "Identity",
    "dropout": "Dropout BitmaskDropout",
    "constant": "Constant",
    "shape": "Shape Size",
    "compare": "Equal Less LessOrEqual Greater GreaterOrEqual",
    "where": "Where",
    "argmax": "ArgMax ArgMin",
    "topk": "TopK",
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

_KINDS = {word: kind for kind, words in _BY_KIND.items() for word in words.split()}
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
