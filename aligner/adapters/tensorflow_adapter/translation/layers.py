"""Normalisations, products, activations with constants, and the layers that several operations make."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary, norm_parameters
from aligner.operations.forms import simple
from aligner.operations.layer_forms import einsum, matmul, norm
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchNorm, Clip, Fill, Recurrent, Selu

_GATES = {"lstm": "ifgo", "gru": "zrn", "tanh": "n", "relu": "n"}


def _bias(call: Call) -> Operation:
    x, bias = call.need(0), call.need(1)
    behind = x.ndim - 2 if call.channels == "first" else 0
    return Operation("add", {}, (x, bias.reshape(-1, *(1,) * behind)))


def _batch_norm(call: Call) -> Operation:
    """Operands x, scale, offset, mean, variance."""
    x = call.need(0)
    axis = 1 if call.channels == "first" else x.ndim - 1
    settings = BatchNorm(
        epsilon=call.number("epsilon", default=1e-4), axis=axis, training=call.flag("training", default=True)
    )
    return norm(call, settings, range(1, 5))


def _written_out(call: Call) -> Operation:
    """The same, of a layer that TensorFlow writes out as arithmetic; ``axis`` is said."""
    settings = BatchNorm(epsilon=call.number("epsilon", default=0.0), axis=call.integer("axis"), training=False)
    parameters = (call.operand(place) for place in range(1, 5))
    flat = (None if one is None else one.reshape(-1) for one in parameters)
    return Operation("norm", settings, (call.need(0),), norm_parameters(*flat))


def _clip(call: Call) -> Operation:
    low, high = call.need(1), call.need(2)
    if low.size != 1 or high.size != 1:
        raise call.unknown("limits of several numbers")
    return Operation("clip", Clip(min=float(low.reshape(-1)[0]), max=float(high.reshape(-1)[0])), (call.need(0),))


def _ones(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need(0).shape, value=1), ())


def _recurrent(call: Call) -> Operation:
    """Operands x, kernel [in, gates · units], recurrent kernel, bias; a GRU that resets after its product has two."""
    cell, bias = call.text("cell", ""), call.operand(3)
    steps = slice(None, None, -1 if call.flag("go_backwards") else 1)  # states come in the order in which they are made
    parameters = {"w": call.need(1).T[None], "r": call.need(2).T[None]}
    if bias is not None:
        fed, *kept = bias.reshape(-1, parameters["w"].shape[1])
        parameters |= {"b": fed[None], **({"rb": kept[0][None]} if kept else {})}
    settings = Recurrent(
        cell=cell,
        gates=_GATES[cell],
        directions=("forward",),
        after=call.flag("reset_after"),
        batch_first=True,
        layout="joined",
        last=call.flag("last"),
    )
    return Operation("recurrent", settings, (call.need(0)[:, steps],), parameters)


_SELU = Selu(alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946)
WORDS: Vocabulary = {
    **dict.fromkeys(("BiasAdd", "BiasAddV1"), _bias),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    "BatchNormalization": _written_out,
    "Selu": simple("selu", 1, _SELU),
    "ClipByValue": _clip,
    "Recurrent": _recurrent,
    "MatMul": matmul,
    "Einsum": einsum,
    "OnesLike": _ones,
}
