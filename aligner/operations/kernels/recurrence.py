"""LSTM and GRU, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.kernels.activation import sigmoid
from aligner.operations.operation import Call, Operation, Unsupported, computes, reads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_GATES = {"lstm": {"torch": "ifgo", "onnx": "iofg"}, "gru": {"torch": "rzn", "onnx": "zrn"}}
"""Gate order of each framework; ONNX writes i, o, f, c for its LSTM: c is g here."""


@reads("recurrent")
def read_recurrent(call: Call) -> Operation:
    """Parameters w, r [directions, gates·hidden, in], b, rb in the gate order of settings ``gates``; time leads."""
    import numpy as np

    word = call.word
    if word not in _GATES:
        raise Unsupported(call.node.op)
    if call.node.op in {"LSTM", "GRU"} and call.node.kind == "recurrent" and len(call.operands) >= 3:
        weight = call.need(1)
        if weight.ndim == 3:
            return _onnx(call, word)
    x = call.need(0)
    given = [a for a in call.operands[1:] if a is not None]
    first = next((k for k, a in enumerate(given) if a.ndim == 2 and a.shape[1] == x.shape[-1]), len(given))
    states, arrays = given[:first], given[first:]
    biases = bool(call.attributes.get("has_biases", True))
    layers = int(call.number("num_layers", default=1))
    directions = 2 if call.attributes.get("bidirectional") else 1
    each = 4 if biases else 2
    if layers != 1 or len(arrays) != each * directions:
        raise Unsupported("several layers")
    stacked = [np.stack([arrays[d * each + k] for d in range(directions)]) for k in range(each)]
    batch_first = bool(call.attributes.get("batch_first", False))
    settings = {
        "cell": word,
        "gates": _GATES[word]["torch"],
        "directions": ("forward", "reverse")[:directions],
        "after": True,
        "batch_first": batch_first,
        "layout": "torch",
    }
    names = ("w", "r", "b", "rb")
    parameters = dict(zip(names, stacked, strict=False))
    for name, state in zip(("h", "c"), states, strict=False):
        parameters[name] = state
    return Operation("recurrent", settings, (x,), parameters)


def _onnx(call: Call, word: str) -> Operation:
    x, weight, recurrent = call.need(0), call.need(1), call.need(2)
    parameters: dict[str, Array] = {"w": weight, "r": recurrent}
    bias = call.operand(3)
    if bias is not None:
        half = bias.shape[1] // 2
        parameters |= {"b": bias[:, :half], "rb": bias[:, half:]}
    for name, place in (("h", 5), ("c", 6)):
        state = call.operand(place)
        if state is not None:
            parameters[name] = state
    direction = str(call.attributes.get("direction", "forward"))
    directions = {"bidirectional": ("forward", "reverse"), "reverse": ("reverse",)}.get(direction, ("forward",))
    if call.attributes.get("layout"):
        raise Unsupported("batch leads")
    settings = {
        "cell": word,
        "gates": _GATES[word]["onnx"],
        "directions": directions,
        "after": bool(call.attributes.get("linear_before_reset", 0)),
        "batch_first": False,
        "layout": "onnx",
    }
    return Operation("recurrent", settings, (x,), parameters)


@computes("recurrent")
def recur(operation: Operation) -> Array:
    """The sequence of hidden states in the framework's own shape."""
    import numpy as np

    settings, parameters = operation.settings, operation.parameters
    x = operation.data[0].astype(np.float64)
    unbatched = x.ndim == 2
    if unbatched:
        x = x[:, None]
    elif settings["batch_first"]:
        x = x.swapaxes(0, 1)
    outputs = [_one(x, d, settings, parameters) for d in range(len(settings["directions"]))]
    if settings["layout"] == "onnx":
        return np.stack(outputs, axis=1)  # [time, directions, batch, hidden]
    joined = np.concatenate(outputs, axis=-1)
    return joined[:, 0] if unbatched else joined.swapaxes(0, 1) if settings["batch_first"] else joined


def _one(x: Array, d: int, settings: Any, parameters: Any) -> Array:
    import numpy as np

    w, r = (parameters[name][d].astype(np.float64) for name in ("w", "r"))
    hidden = r.shape[1]
    zeros = np.zeros(w.shape[0])
    b, rb = (parameters[name][d].astype(np.float64) if name in parameters else zeros for name in ("b", "rb"))
    state = np.zeros((2, x.shape[1], hidden))
    for k, name in enumerate(("h", "c")):
        if name in parameters:
            state[k] = parameters[name].reshape(-1, x.shape[1], hidden)[d]
    steps = list(range(x.shape[0]))
    reverse = settings["directions"][d] == "reverse"
    result = np.empty((x.shape[0], x.shape[1], hidden))
    for t in reversed(steps) if reverse else steps:
        state = _step(x[t], state, (w, r, b, rb), settings)
        result[t] = state[0]
    return result


def _step(x: Array, state: Array, weights: Any, settings: Any) -> Array:
    import numpy as np

    w, r, b, rb = weights
    gates = settings["gates"]
    h, c = state
    count = len(gates)
    fed, kept = np.split(x @ w.T + b, count, axis=1), np.split(h @ r.T + rb, count, axis=1)
    given = {name: (fed[k], kept[k], k) for k, name in enumerate(gates)}
    if settings["cell"] == "lstm":
        i, f, o = (sigmoid(given[name][0] + given[name][1]) for name in "ifo")
        c = f * c + i * np.tanh(given["g"][0] + given["g"][1])
        return np.stack([o * np.tanh(c), c])
    reset, update = (sigmoid(given[name][0] + given[name][1]) for name in "rz")
    fed_n, kept_n, k = given["n"]
    if settings["after"]:
        new = np.tanh(fed_n + reset * kept_n)
    else:
        size = h.shape[1]
        new = np.tanh(fed_n + (reset * h) @ r[k * size : (k + 1) * size].T + rb[k * size : (k + 1) * size])
    return np.stack([(1 - update) * new + update * h, c])
