"""TensorFlow's operations in framework-neutral words."""

from __future__ import annotations

from aligner.adapters.tensorflow_adapter.translation import VOCABULARY
from aligner.adapters.tensorflow_adapter.translation.lite_words import LITE_WORDS
from aligner.adapters.tflite_adapter.kinds import kind_of as lite_kind
from aligner.operations.call import kind_said
from aligner.operations.kinds import kinds_of

_BY_KIND = {
    "control_flow": "StatelessIf StatefulPartitionedCall PartitionedCall",
    "loop": "StatelessWhile",
    "constant": "ZerosLike OnesLike Fill Range",
    "shape": "Size",
    "gather": "ResourceGather",
    "random": "StatelessRandomUniformV2 StatelessRandomNormalV2",
}
_OWN = kinds_of(_BY_KIND, "")


def kind_of(op: str) -> str:
    """The neutral kind of an operation; "other" where nothing is known of it."""
    if op in _OWN:
        return _OWN[op]
    word = LITE_WORDS.get(op)
    found = lite_kind(word) if word else lite_kind(op, custom=True)
    return kind_said(VOCABULARY, op, "other") if found == "opaque" else found
