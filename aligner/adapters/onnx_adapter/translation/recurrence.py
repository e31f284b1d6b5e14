"""LSTM, GRU and RNN: gates i, o, f, c and z, r, h; c and h are called g and n in common."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent

_GATES = {"LSTM": "iofg", "GRU": "zrn", "RNN": "n"}
_DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}
_USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _recurrent(call: Call) -> Operation:
    """Operands X, W, R, B, sequence_lens, initial_h, initial_c, P."""
    word = call.node.op
    directions = _DIRECTIONS[call.text("direction", "forward")]
    parameters = {"w": call.need(1), "r": call.need(2)}
    bias, lengths = call.operand(3), call.operand(4)
    if bias is not None:
        half = bias.shape[1] // 2
        parameters |= {"b": bias[:, :half], "rb": bias[:, half:]}
    first = call.flag("layout")
    for name, place in (("h", 5), ("c", 6)):
        state = call.operand(place)
        if state is not None:
            parameters[name] = state.swapaxes(0, 1) if first else state
    x = call.need(0)
    steps = x.shape[1] if first else x.shape[0]
    if call.operand(7) is not None or call.attributes.get("clip") or call.flag("input_forget"):
        raise call.unknown("peepholes, clipping or coupled gates")
    if lengths is not None and (lengths != steps).any():
        raise call.unknown("sequences of several lengths")
    settings = Recurrent(
        cell=_cell(call, len(directions)),
        gates=_GATES[word],
        directions=directions,
        after=call.flag("linear_before_reset"),
        batch_first=first,
        layout="apart",
    )
    return Operation("recurrent", settings, (x,), parameters)


def _cell(call: Call, directions: int) -> str:
    word = call.node.op
    given = call.attributes.get("activations")
    chosen = tuple(str(name) for name in given) if isinstance(given, tuple) and given else _USUAL[word] * directions
    if chosen == _USUAL[word] * directions:
        return "tanh" if word == "RNN" else word.lower()
    if word == "RNN" and set(chosen) == {"Relu"}:
        return "relu"
    raise call.unknown("other activations")


WORDS: Vocabulary = dict.fromkeys(_GATES, _recurrent)
