"""OpenVINO's operators in framework-neutral words."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.operations.call import kind_said

_BY_KIND: dict[str, str] = {
    "conv": "Convolution GroupConvolution BinaryConvolution DeformableConvolution",
    "conv_transpose": "ConvolutionBackpropData GroupConvolutionBackpropData",
    "matmul": "MatMul Einsum",
    "norm": "MVN NormalizeL2 BatchNormInference GroupNormalization LRN GRN",
    "add": "Add",
    "sub": "Subtract",
    "mul": "Multiply",
    "div": "Divide",
    "pow": "Power",
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "abs": "Abs",
    "neg": "Negative",
    "erf": "Erf",
    "minmax": "Minimum Maximum",
    "unary": "Floor Ceiling Round Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh LogicalNot BitwiseNot "
    "IsNaN IsInf IsFinite Inverse Bucketize SearchSorted",
    "binary": "Mod FloorMod SquaredDifference LogicalAnd LogicalOr LogicalXor BitwiseAnd BitwiseOr BitwiseXor "
    "BitwiseLeftShift BitwiseRightShift",
    "relu": "Relu",
    "clip": "Clamp",
    "prelu": "PRelu",
    "elu": "Elu",
    "gelu": "Gelu",
    "silu": "Swish",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardsigmoid": "HardSigmoid HSigmoid",
    "hardswish": "HSwish",
    "softplus": "SoftPlus",
    "mish": "Mish",
    "activation": "Selu SoftSign",
    "resize": "Interpolate",
    "max_pool": "MaxPool AdaptiveMaxPool",
    "avg_pool": "AvgPool AdaptiveAvgPool",
    "reduce": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "concat": "Concat",
    "split": "Split VariadicSplit",
    "slice": "Slice StridedSlice",
    "gather": "Gather GatherElements GatherND ReverseSequence",
    "scatter": "ScatterElementsUpdate ScatterNDUpdate ScatterUpdate SliceScatter Col2Im",
    "pad": "Pad",
    "transpose": "Transpose",
    "reshape": "Reshape Squeeze Unsqueeze",
    "expand": "Broadcast",
    "tile": "Tile",
    "depth_to_space": "DepthToSpace SpaceToDepth ShuffleChannels BatchToSpace SpaceToBatch",
    "cast": "Convert ConvertLike",
    "quantize": "FakeQuantize FakeConvert",
    "shape": "ShapeOf",
    "constant": "Constant Range Eye",
    "compare": "Equal NotEqual Less LessEqual Greater GreaterEqual",
    "where": "Select",
    "topk": "TopK",
    "sort": "Unique",
    "nms": "NonMaxSuppression MulticlassNms MatrixNms NMSRotated DetectionOutput",
    "random": "RandomUniform Multinomial",
    "recurrent": "LSTMSequence GRUSequence RNNSequence LSTMCell GRUCell RNNCell",
    "attention": "ScaledDotProductAttention PagedAttentionExtension",
    "embedding": "EmbeddingBagOffsets EmbeddingBagOffsetsSum EmbeddingBagPacked EmbeddingBagPackedSum "
    "EmbeddingSegmentsSum",
    "cumsum": "CumSum",
    "control_flow": "If",
    "loop": "Loop TensorIterator",
}

_KINDS = {word: kind for kind, words in _BY_KIND.items() for word in words.split()}


def kind_of(op: str, sizes: Sequence[int | None]) -> str:
    """The neutral kind; what no standard operation set has is "other". ``sizes``: of the constants among the operands.

    There is no leaky ReLU: it is a PReLU of one constant slope.
    """
    if op == "PRelu" and len(sizes) == 2 and sizes[1] == 1:
        return "leaky_relu"
    if op in _KINDS:
        return _KINDS[op]
    from aligner.adapters.openvino_adapter.translation import VOCABULARY

    return kind_said(VOCABULARY, op, "other")
