"""Operations that TFLite took over from TensorFlow operand for operand, by TFLite's words for them."""

from __future__ import annotations

from types import MappingProxyType

_SPELLED: dict[str, str] = {
    "ADD": "Add AddV2",
    "DIV": "RealDiv Div",
    "LOGISTIC": "Sigmoid",
    "REDUCE_PROD": "Prod",
    "REDUCE_MAX": "Max",
    "REDUCE_MIN": "Min",
    "REDUCE_ANY": "Any",
    "REDUCE_ALL": "All",
    "CONCATENATION": "ConcatV2",
    "BATCH_MATMUL": "BatchMatMul BatchMatMulV2 BatchMatMulV3",
    "REVERSE_V2": "ReverseV2",
    "GATHER": "GatherV2",
    "TOPK_V2": "TopKV2",
    "CONV_3D": "Conv3D",
    "RFFT2D": "RFFT2D",
    "SPACE_TO_BATCH_ND": "SpaceToBatchND",
    "BATCH_TO_SPACE_ND": "BatchToSpaceND",
    "PADV2": "PadV2",
    "LOCAL_RESPONSE_NORMALIZATION": "LRN",
}
_ALIKE = (
    "Sub Mul Pow Maximum Minimum FloorDiv FloorMod SquaredDifference Atan2 LogicalAnd LogicalOr BitwiseXor RightShift "
    "Greater GreaterEqual Less LessEqual Equal NotEqual Mean Sum AddN Cumsum Relu Relu6 Tanh Abs Neg Exp Log Sqrt "
    "Rsqrt Square Floor Ceil Round Sin Cos Sign LogicalNot Real Imag ComplexAbs LeakyRelu Elu Cast Fill ZerosLike "
    "Range Shape Pack Unpack Split SplitV Transpose Reshape Squeeze ExpandDims BroadcastTo Tile Pad MirrorPad "
    "DepthToSpace SpaceToDepth Slice StridedSlice GatherNd ScatterNd Select SelectV2 Where ArgMax ArgMin OneHot "
    "Softmax LogSoftmax ResizeBilinear ResizeNearestNeighbor"
).split()


def _underscored(word: str) -> str:
    """SquaredDifference → SQUARED_DIFFERENCE, as TFLite spells it."""
    text = "".join("_" + letter if letter.isupper() and place else letter for place, letter in enumerate(word))
    return text.upper()


_IRREGULAR = {
    "AddN": "ADD_N",
    "Relu6": "RELU6",
    "SplitV": "SPLIT_V",
    "SelectV2": "SELECT_V2",
    "Atan2": "ATAN2",
    "Rsqrt": "RSQRT",
    "Cumsum": "CUMSUM",
}
LITE_WORDS = MappingProxyType(
    {
        **{word: _IRREGULAR.get(word) or _underscored(word) for word in _ALIKE},
        **{word: lite for lite, words in _SPELLED.items() for word in words.split()},
    }
)
"""TensorFlow's word → TFLite's."""
