"""TensorFlow's operations in framework-neutral words."""

from __future__ import annotations

from aligner.adapters.tensorflow_adapter.translation.lite_words import LITE_WORDS
from aligner.adapters.tflite_adapter.kinds import kind_of as lite_kind

_OWN = {
    "Selu": "activation",
    "Softsign": "activation",
    "LRN": "norm",
    "StatelessIf": "control_flow",
    "StatelessWhile": "loop",
    "StatefulPartitionedCall": "control_flow",
    "PartitionedCall": "control_flow",
    "ZerosLike": "constant",
    "OnesLike": "constant",
    "Fill": "constant",
    "Range": "constant",
    "Size": "shape",
    "ResourceGather": "gather",
    "GatherV2": "gather",
    "Unpack": "split",
    "SplitV": "split",
    "LogicalNot": "unary",
    "StatelessRandomUniformV2": "random",
    "StatelessRandomNormalV2": "random",
    "RandomUniform": "random",
    "RandomStandardNormal": "random",
}


def kind_of(op: str) -> str:
    """The neutral kind of an operation; "other" where nothing is known of it."""
    if op in _OWN:
        return _OWN[op]
    word = LITE_WORDS.get(op)
    found = lite_kind(word) if word else lite_kind(op, custom=True)
    return "other" if found == "opaque" else found
