"""LSTM, GRU and plain recurrent cells, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.fused import sigmoid
from aligner.operations.operation import Operation, computes_by
from aligner.operations.settings import Recurrent
from aligner.records.array import Array


@computes_by(Recurrent, "recurrent")
def recur(operation: Operation, settings: Recurrent) -> tuple[Array, ...]:
    """Hidden states of all steps, then the last hidden state and the last cell state [directions, batch, hidden].

    Parameters w, r [directions, gates·hidden, in], b, rb in the order of setting ``gates``, states h and c. ``layout``:
    directions stand "apart" on an axis of their own behind time, "outside" on one before it, or are "joined" side by
    side in the last axis. ``batch_first`` puts the batch before time everywhere; with ``last`` the last hidden states
    take the place of all. Layout "step": one step, whose input and states have no time.
    """
    parameters = operation.parameters
    x = operation.data[0].astype(np.float64)
    if settings.layout == "step":
        _, state = _one(x.reshape(1, -1, x.shape[-1]), 0, settings, parameters)
        return tuple(each.reshape(*x.shape[:-1], -1) for each in state)
    unbatched = x.ndim == 2
    if unbatched:
        x = x[:, None]
    elif settings.batch_first:
        x = x.swapaxes(0, 1)
    runs = [_one(x, d, settings, parameters) for d in range(len(settings.directions))]
    outputs, states = [run[0] for run in runs], np.stack([run[1] for run in runs], axis=1)
    if settings.last:
        return np.concatenate(list(states[0]), axis=-1), states[0], states[1]
    if settings.layout in {"apart", "outside"}:
        apart = np.stack(outputs, axis=1)  # [time, directions, batch, hidden]
        if settings.batch_first:
            order = (2, 0, 1, 3) if settings.layout == "apart" else (2, 1, 0, 3)
            return apart.transpose(order), states[0].swapaxes(0, 1), states[1].swapaxes(0, 1)
        return apart, states[0], states[1]
    joined = np.concatenate(outputs, axis=-1)
    if unbatched:
        return joined[:, 0], states[0][:, 0], states[1][:, 0]
    return joined.swapaxes(0, 1) if settings.batch_first else joined, states[0], states[1]


def _one(x: Array, d: int, settings: Recurrent, parameters: Any) -> tuple[Array, Array]:
    w, r = (parameters[name][d].astype(np.float64) for name in ("w", "r"))
    hidden = r.shape[1]
    zeros = np.zeros(w.shape[0])
    b, rb = (parameters[name][d].astype(np.float64) if name in parameters else zeros for name in ("b", "rb"))
    state = np.zeros((2, x.shape[1], hidden))
    for k, name in enumerate(("h", "c")):
        if name in parameters:
            state[k] = parameters[name].reshape(-1, x.shape[1], hidden)[d]
    steps = list(range(x.shape[0]))
    reverse = settings.directions[d] == "reverse"
    result = np.empty((x.shape[0], x.shape[1], hidden))
    for t in reversed(steps) if reverse else steps:
        state = _step(x[t], state, (w, r, b, rb), settings)
        result[t] = state[0]
    return result, state


def _step(x: Array, state: Array, weights: Any, settings: Recurrent) -> Array:
    w, r, b, rb = weights
    gates = settings.gates
    h, c = state
    count = len(gates)
    fed, kept = np.split(x @ w.T + b, count, axis=1), np.split(h @ r.T + rb, count, axis=1)
    given = {name: (fed[k], kept[k], k) for k, name in enumerate(gates)}
    if settings.cell in {"tanh", "relu"}:
        total = given["n"][0] + given["n"][1]
        return np.stack([np.tanh(total) if settings.cell == "tanh" else np.maximum(total, 0), c])
    if settings.cell == "lstm":
        i, f, o = (sigmoid(given[name][0] + given[name][1]) for name in "ifo")
        c = f * c + i * np.tanh(given["g"][0] + given["g"][1])
        return np.stack([o * np.tanh(c), c])
    reset, update = (sigmoid(given[name][0] + given[name][1]) for name in "rz")
    fed_n, kept_n, k = given["n"]
    if settings.after:
        new = np.tanh(fed_n + reset * kept_n)
    else:
        size = h.shape[1]
        new = np.tanh(fed_n + (reset * h) @ r[k * size : (k + 1) * size].T + rb[k * size : (k + 1) * size])
    return np.stack([(1 - update) * new + update * h, c])
