"""TFLite's and TensorFlow's operators in framework-neutral words."""

from __future__ import annotations

import re

from aligner.operations.call import kind_said
from aligner.operations.kinds import kinds_of

_BY_KIND: dict[str, str] = {
    "conv": "CONV_2D DEPTHWISE_CONV_2D CONV_3D CONVOLUTION DEPTHWISE_CONV_2D_NATIVE",
    "conv_transpose": "TRANSPOSE_CONV CONV_3D_TRANSPOSE CONVOLUTION_2D_TRANSPOSE_BIAS CONV_2D_BACKPROP_INPUT",
    "matmul": "FULLY_CONNECTED BATCH_MATMUL BATCH_MAT_MUL BATCH_MAT_MUL_V2 MAT_MUL DOT_GENERAL EINSUM",
    "norm": "L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION FUSED_BATCH_NORM FUSED_BATCH_NORM_V3",
    "add": "ADD_V2 BIAS_ADD",
    "sub": "SUBTRACT",
    "mul": "MULTIPLY",
    "div": "DIV DIVIDE REAL_DIV",
    "pow": "POWER",
    "exp": "EXPONENTIAL",
    "neg": "NEGATE",
    "unary": "COSINE RECIPROCAL CBRT RFFT2D BUCKETIZE",
    "binary": "REMAINDER SHIFT_LEFT AND OR",
    "clip": "CLAMP CLIP_BY_VALUE",
    "sigmoid": "SIGMOID",
    "activation": "SELU",
    "resize": "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RESIZE_BICUBIC",
    "max_pool": "MAX_POOL_2D MAX_POOL MAX_POOL_3D MAX_POOLING_WITH_ARGMAX_2D",
    "avg_pool": "AVERAGE_POOL_2D AVG_POOL AVERAGE_POOL_3D",
    "reduce": "MEAN SUM PROD REDUCE_PROD REDUCE_MAX REDUCE_MIN REDUCE_ANY REDUCE_ALL L2_POOL_2D REDUCE REDUCE_WINDOW",
    "concat": "CONCATENATION CONCATENATE CONCAT_V2 PACK",
    "split": "SPLIT SPLIT_V UNPACK",
    "slice": "SLICE STRIDED_SLICE DYNAMIC_SLICE",
    "gather": "GATHER GATHER_ND EMBEDDING_LOOKUP_SPARSE",
    "embedding": "EMBEDDING_LOOKUP",
    "scatter": "SCATTER_ND SPARSE_TO_DENSE DYNAMIC_UPDATE_SLICE SCATTER TENSOR_SCATTER_UPDATE MATRIX_SET_DIAG "
    "UNSORTED_SEGMENT_SUM UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD SEGMENT_SUM MAX_UNPOOLING_2D",
    "pad": "PAD PADV2 MIRROR_PAD DILATE",
    "reshape": "RESHAPE SQUEEZE EXPAND_DIMS",
    "expand": "BROADCAST_TO BROADCAST_IN_DIM",
    "depth_to_space": "DEPTH_TO_SPACE SPACE_TO_DEPTH SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND",
    "cast": "CAST BITCAST CONVERT",
    "quantize": "QUANTIZE FAKE_QUANT",
    "dequantize": "DEQUANTIZE DENSIFY",
    "constant": "CONST IOTA",
    "shape": "RANK BROADCAST_ARGS",
    "compare": "COMPARE",
    "where": "SELECT SELECT_V2 WHERE",
    "argmax": "ARG_MAX ARG_MIN",
    "topk": "TOPK_V2 TOP_K_V2",
    "sort": "SORT UNIQUE",
    "nms": "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 TFLITE_DETECTION_POSTPROCESS",
    "random": "RANDOM_UNIFORM RANDOM_STANDARD_NORMAL MULTINOMIAL RNG_BIT_GENERATOR",
    "recurrent": "LSTM RNN SVDF UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN "
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "control_flow": "IF CALL CALL_ONCE CASE",
    "loop": "WHILE",
    "opaque": "COMPOSITE DELEGATE CUSTOM_CALL",
}
_SPELLED = "ERF PRELU GELU SOFTPLUS SOFTMAX LOG_SOFTMAX TRANSPOSE TILE IDENTITY CUMSUM"
"""Words that spell their kind."""
_KINDS = kinds_of(_BY_KIND, _SPELLED)
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])")


def kind_of(op: str, *, custom: bool = False) -> str:
    """The neutral kind of an operator; custom operators and TensorFlow's own are known by their CamelCase names."""
    from aligner.adapters.tflite_adapter.translation import WORDS

    words = [op.removeprefix("STABLEHLO_"), op]
    if custom:
        plain = op.removeprefix("Flex")
        words = [_WORD_START.sub("_", plain).upper(), plain.upper()]
    known = (_KINDS.get(word) or kind_said(WORDS, word, "") for word in words)
    return next(filter(None, known), "opaque" if custom else "other")
