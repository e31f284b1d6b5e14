"""TensorFlow's operations in common words."""

from __future__ import annotations

from dataclasses import replace

from aligner.adapters.tensorflow_adapter.translation.lite_words import LITE_WORDS
from aligner.adapters.tflite_adapter.translation import WORDS as LITE
from aligner.operations.call import Call, Translation, Vocabulary
from aligner.operations.forms import of_one, of_two, spelled, translated, vocabulary
from aligner.operations.operation import Operation

_FUNCTIONS = {
    **spelled(
        "Erf Erfc Expm1 Log1p Reciprocal Softplus Softsign Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Identity"
    ),
    "Inv": "reciprocal",
    "Rint": "round",
    "IsNan": "isnan",
    "IsInf": "isinf",
    "IsFinite": "isfinite",
    "Conj": "conjugate",
}
_OF_TWO = {
    **spelled("Xlogy LogicalXor BitwiseAnd BitwiseOr"),
    "TruncateDiv": "trunc_divide",
    "TruncateMod": "fmod",
    "LeftShift": "shift_left",
}


def _as_lite(word: str) -> Translation:
    return lambda call: LITE[word](replace(call, node=replace(call.node, op=word)))


VOCABULARY: Vocabulary = {
    **{own: _as_lite(word) for own, word in LITE_WORDS.items()},
    **of_one(_FUNCTIONS),
    **of_two(_OF_TWO),
    **vocabulary(__name__, __path__),
}


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    return translated(VOCABULARY, call)
