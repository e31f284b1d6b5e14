"""LSTM, GRU and plain cells over a sequence: gates f, i, c, o and z, r, h; c and h are called g and n in common."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent
from aligner.records.array import Array

_GATES = {"LSTMSequence": "figo", "GRUSequence": "zrn", "RNNSequence": "n"}
_USUAL = {"LSTMSequence": ("sigmoid", "tanh", "tanh"), "GRUSequence": ("sigmoid", "tanh"), "RNNSequence": ("tanh",)}
_DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}


def _recurrent(call: Call) -> Operation:
    """Operands X, H, (C,) lengths, W, R, B, the batch first everywhere."""
    word = call.node.op
    x, states = call.need(0), [call.need(1)]
    if word == "LSTMSequence":
        states.append(call.need(2))
    rest = 1 + len(states)
    if (call.need(rest) != x.shape[1]).any():
        raise call.unknown("sequences of several lengths")
    if call.number("clip", default=0.0):
        raise call.unknown("clipping")
    after = call.flag("linear_before_reset")
    parameters = {"w": call.need(rest + 1), "r": call.need(rest + 2), **_biases(call.need(rest + 3), after=after)}
    parameters |= {name: state.swapaxes(0, 1) for name, state in zip("hc", states, strict=False)}
    settings = Recurrent(
        cell=_cell(call),
        gates=_GATES[word],
        directions=_DIRECTIONS[call.text("direction", "forward")],
        after=after,
        batch_first=True,
        layout="outside",
    )
    return Operation("recurrent", settings, (x,), parameters)


def _biases(bias: Array, *, after: bool) -> dict[str, Array]:
    """Where a GRU's reset gate works behind its product, the two biases of its last gate stand side by side."""
    if not after:
        return {"b": bias}
    fed, kept = bias[:, : bias.shape[1] // 4 * 3], bias[:, bias.shape[1] // 4 * 3 :]
    return {"b": fed, "rb": np.concatenate([np.zeros_like(fed[:, : kept.shape[1] * 2]), kept], axis=1)}


def _cell(call: Call) -> str:
    word = call.node.op
    chosen = tuple(str(name).lower() for name in call.numbers("activations") or _USUAL[word])
    if chosen == _USUAL[word]:
        return {"LSTMSequence": "lstm", "GRUSequence": "gru", "RNNSequence": "tanh"}[word]
    if word == "RNNSequence" and chosen == ("relu",):
        return "relu"
    raise call.unknown("other activations")


WORDS: Vocabulary = dict.fromkeys(_GATES, _recurrent)
