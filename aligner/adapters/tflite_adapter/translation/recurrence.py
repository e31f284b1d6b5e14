"""LSTM over a sequence, one matrix for each gate: input, forget, cell, output; the cell is called g in common."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent


def _lstm(call: Call) -> Operation:
    """Operands 1–4 feed the gates, 5–8 carry on, 9–11 look into the cell, 12–15 are added, 18 and 19 are states."""
    if any(call.operand(place) is not None for place in (9, 10, 11, 16, 17, *range(20, 24))):
        raise call.unknown("peepholes, projections or normalised gates")
    if call.text("fused_activation", "none") != "tanh" or call.number("cell_clip", default=0.0):
        raise call.unknown("another activation, or clipping")
    parameters = {
        "w": np.concatenate([call.need(place) for place in (1, 2, 3, 4)])[None],
        "r": np.concatenate([call.need(place) for place in (5, 6, 7, 8)])[None],
        "b": np.concatenate([call.need(place).reshape(-1) for place in (12, 13, 14, 15)])[None],
    }
    for name, place in (("h", 18), ("c", 19)):
        state = call.operand(place)
        if state is not None and state.any():
            parameters[name] = state[None]
    settings = Recurrent(
        cell="lstm",
        gates="ifgo",
        directions=("forward",),
        after=True,
        batch_first=not call.flag("time_major"),
        layout="joined",
    )
    return Operation("recurrent", settings, (call.need(0),), parameters)


WORDS: Vocabulary = {"UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm}
