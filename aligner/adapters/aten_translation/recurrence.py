"""LSTM, GRU and RNN of one layer: gates i, f, g, o and r, z, n; a state leads its weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent

_GATES = {"lstm": "ifgo", "gru": "rzn", "rnn_tanh": "n", "rnn_relu": "n"}


def _recurrent(word: str) -> Any:
    """Operands x, states, then for each direction w, r and the two biases where it has them."""

    def translate(call: Call) -> Operation:
        x = call.need(0)
        given = [a for a in call.operands[1:] if a is not None]
        first = next((k for k, a in enumerate(given) if a.ndim == 2 and a.shape[1] == x.shape[-1]), len(given))
        count = 2 if word == "lstm" else 1
        first = count if x.ndim == 3 and first > count else first
        states, arrays = given[:first], given[first:]
        directions = 2 if call.flag("bidirectional") else 1
        each = 4 if call.flag("has_biases", default=True) else 2
        if call.integer("num_layers", default=1) != 1 or len(arrays) != each * directions:
            raise call.unknown("several layers")
        stacked = [np.stack([arrays[d * each + k] for d in range(directions)]) for k in range(each)]
        settings = Recurrent(
            cell=word.removeprefix("rnn_"),
            gates=_GATES[word],
            directions=("forward", "reverse")[:directions],
            after=True,
            batch_first=call.flag("batch_first"),
            layout="joined",
        )
        parameters = dict(zip(("w", "r", "b", "rb"), stacked, strict=False))
        parameters |= dict(zip(("h", "c"), states, strict=False))
        return Operation("recurrent", settings, (x,), parameters)

    return translate


def _cell(word: str) -> Any:
    """Operands x, state or states, w, r and the two biases: one step of time."""

    def translate(call: Call) -> Operation:
        x = call.need(0)
        given = [a for a in call.operands[1:] if a is not None]
        count = 2 if word == "lstm" else 1
        if len(given) not in (count + 2, count + 4):
            raise call.unknown(f"{len(given)} operands")
        settings = Recurrent(
            cell=word.removeprefix("rnn_"),
            gates=_GATES[word],
            directions=("forward",),
            after=True,
            batch_first=False,
            layout="step",
        )
        parameters = dict(zip(("h", "c")[:count], given, strict=False))
        parameters |= dict(zip(("w", "r", "b", "rb"), (array[None] for array in given[count:]), strict=False))
        return Operation("recurrent", settings, (x,), parameters)

    return translate


WORDS: Vocabulary = {
    **{word: _recurrent(word) for word in _GATES},
    **{f"{word}_cell": _cell(word) for word in _GATES},
}
