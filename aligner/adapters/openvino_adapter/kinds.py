"""OpenVINO's operators in framework-neutral words."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.operations.call import kind_said
from aligner.operations.kinds import kinds_of

_BY_KIND: dict[str, str] = {
    "conv": "Convolution GroupConvolution BinaryConvolution DeformableConvolution",
    "conv_transpose": "ConvolutionBackpropData GroupConvolutionBackpropData",
    "matmul": "MatMul Einsum",
    "norm": "MVN NormalizeL2 BatchNormInference GroupNormalization LRN GRN",
    "div": "Divide",
    "unary": "Round IsInf Inverse Bucketize SearchSorted",
    "silu": "Swish",
    "hardsigmoid": "HardSigmoid",
    "activation": "Selu",
    "resize": "Interpolate",
    "max_pool": "MaxPool AdaptiveMaxPool",
    "avg_pool": "AvgPool AdaptiveAvgPool",
    "reduce": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr",
    "split": "Split VariadicSplit",
    "slice": "Slice StridedSlice",
    "gather": "Gather GatherElements GatherND ReverseSequence",
    "scatter": "ScatterElementsUpdate ScatterNDUpdate ScatterUpdate SliceScatter Col2Im",
    "reshape": "Reshape Squeeze Unsqueeze",
    "expand": "Broadcast",
    "depth_to_space": "DepthToSpace SpaceToDepth ShuffleChannels BatchToSpace SpaceToBatch",
    "cast": "Convert ConvertLike",
    "quantize": "FakeQuantize FakeConvert",
    "constant": "Constant Range Eye",
    "sort": "Unique",
    "nms": "NonMaxSuppression MulticlassNms MatrixNms NMSRotated DetectionOutput",
    "random": "RandomUniform Multinomial",
    "recurrent": "LSTMSequence GRUSequence RNNSequence LSTMCell GRUCell RNNCell",
    "attention": "ScaledDotProductAttention PagedAttentionExtension",
    "embedding": "EmbeddingBagOffsets EmbeddingBagOffsetsSum EmbeddingBagPacked EmbeddingBagPackedSum "
    "EmbeddingSegmentsSum",
    "control_flow": "If",
    "loop": "Loop TensorIterator",
}
_SPELLED = "PRelu Gelu Softmax LogSoftmax Concat Pad Transpose Tile TopK CumSum"
"""Words that spell their kind."""
_KINDS = kinds_of(_BY_KIND, _SPELLED)


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
