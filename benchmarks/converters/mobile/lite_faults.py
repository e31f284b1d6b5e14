"""Faults of TFLite files beside those of ``benchmarks.faults``: options, wiring, inserted and lost operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.planting.lite import LITE_FAULTS
from benchmarks.faults.planting.lite_registry import FLOAT, INTEGER, Guilty, LiteFault, Plant
from benchmarks.faults.planting.lite_weights import weight_of
from benchmarks.faults.tflite_model import Operator, TfliteModel

Random = np.random.Generator
_FUSED = schema.ActivationFunctionType
_OTHER = {
    "MAX_POOL_2D": "AVERAGE_POOL_2D",
    "AVERAGE_POOL_2D": "MAX_POOL_2D",
    "TANH": "LOGISTIC",
    "LOGISTIC": "TANH",
    "RELU": "RELU6",
    "MAXIMUM": "MINIMUM",
    "MINIMUM": "MAXIMUM",
    "SQRT": "RSQRT",
    "HARD_SWISH": "RELU",
    "MEAN": "SUM",
    "ELU": "RELU",
}
_MORE: dict[str, LiteFault] = {}


def _fault(*causes: str, forms: tuple[str, ...] = FLOAT) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        _MORE[name] = LiteFault(name, plant, causes, forms)
        return plant

    return register


def _options(operator: Operator, name: str) -> object:
    return getattr(operator.builtinOptions, name, None)


@_fault("weights-changed")
def weights_scaled(model: TfliteModel, rng: Random) -> Guilty:
    """A kernel is a few percent too large."""
    operator = model.pick(rng, lambda each: _floating(weight_of(model, each)))
    if operator is None:
        return None
    model.set_input(operator, 1, (weight_of(model, operator) * np.float32(rng.choice([0.9, 1.03]))).astype(np.float32))
    return [operator]


@_fault("weights-changed", "weights-wrong-entry")
def channel_wrong(model: TfliteModel, rng: Random) -> Guilty:
    """One element of a kernel changed its sign."""
    operator = model.pick(rng, lambda each: _floating(weight_of(model, each)))
    if operator is None:
        return None
    weight = weight_of(model, operator)
    largest = np.unravel_index(np.abs(weight).argmax(), weight.shape)
    weight[largest] *= -1
    model.set_input(operator, 1, weight)
    return [operator]


def _floating(weight: np.ndarray | None) -> bool:
    return weight is not None and weight.dtype == np.float32


@_fault("activation-variant", "operation-missing", "setting-changed", forms=FLOAT + INTEGER)
def fused_activation_lost(model: TfliteModel, rng: Random) -> Guilty:
    operator = model.pick(rng, lambda each: _options(each, "fusedActivationFunction") in {_FUSED.RELU, _FUSED.RELU6})
    if operator is None:
        return None
    operator.builtinOptions.fusedActivationFunction = _FUSED.NONE
    return [operator]


@_fault("activation-variant", "operation-extra", "setting-changed")
def fused_activation_added(model: TfliteModel, rng: Random) -> Guilty:
    words = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED"}
    operator = model.pick(
        rng,
        lambda each: (
            model.word(each) in words
            and model.floating(int(each.outputs[0]))
            and _options(each, "fusedActivationFunction") == _FUSED.NONE
        ),
    )
    if operator is None:
        return None
    operator.builtinOptions.fusedActivationFunction = _FUSED.RELU
    return [operator]


@_fault("setting-changed", "attention-scale", "constant-changed")
def softmax_beta(model: TfliteModel, rng: Random) -> Guilty:
    operator = model.pick(rng, lambda each: model.word(each) == "SOFTMAX")
    if operator is None:
        return None
    operator.builtinOptions.beta = float(rng.choice([0.5, 2.0]))
    return [operator]


@_fault("operation-changed", "activation-variant", "reduce-axis-or-bias")
def operation_replaced(model: TfliteModel, rng: Random) -> Guilty:
    operator = model.pick(rng, lambda each: model.word(each) in _OTHER and model.floating(int(each.outputs[0])))
    if operator is None:
        return None
    operator.opcodeIndex = model.code(_OTHER[model.word(operator)])
    return [operator]


@_fault("padding-mode", "padding-asymmetric", "constant-changed")
def pad_value(model: TfliteModel, rng: Random) -> Guilty:
    """PADV2 with other numbers, PAD turned into one with a value."""
    operator = model.pick(rng, lambda each: model.word(each) == "PADV2")
    if operator is None:
        return None
    value = model.constant(int(operator.inputs[2]))
    if value is None or value.dtype != np.float32:
        return None
    model.set_input(operator, 2, np.where(value < -1e30, 0, value + 1).astype(np.float32))
    return [operator]


@_fault("padding-asymmetric")
def pad_moved(model: TfliteModel, rng: Random) -> Guilty:
    """What a PAD adds in front is added at the end."""

    def moved(operator: Operator) -> np.ndarray | None:
        found = model.constant(int(operator.inputs[1])) if model.word(operator) in {"PAD", "PADV2"} else None
        if found is None or found.ndim != 2 or not found.any():
            return None
        turned = np.stack([0 * found[:, 0], found.sum(1)], 1).astype(found.dtype)
        return turned[:, ::-1] if np.array_equal(turned, found) else turned

    operator = model.pick(rng, lambda each: moved(each) is not None)
    if operator is None:
        return None
    model.set_input(operator, 1, np.ascontiguousarray(moved(operator)))
    return [operator]


@_fault("constant-changed", "weights-changed", "attention-scale", forms=FLOAT)
def vector_stale(model: TfliteModel, rng: Random) -> Guilty:
    """A stored vector that is added or multiplied belongs to another step."""

    def place(operator: Operator) -> int | None:
        if model.word(operator) not in {"MUL", "ADD", "SUB"} or not model.computed(int(operator.outputs[0])):
            return None
        found = [model.constant(int(index)) for index in operator.inputs]
        fits = [n for n, one in enumerate(found) if one is not None and one.dtype == np.float32 and one.size > 1]
        return fits[0] if fits else None

    operator = model.pick(rng, lambda each: place(each) is not None)
    if operator is None:
        return None
    which = place(operator)
    model.set_input(operator, which, np.roll(model.constant(int(operator.inputs[which])), 1))
    return [operator]


@_fault("operand-swapped", "attributes-differ", "residual-missing", "operation-order")
def stale_operand(model: TfliteModel, rng: Random) -> Guilty:
    """One operand of a node with two is another tensor of its shape, made earlier."""
    order = {int(index): place for place, each in enumerate(model.operators) for index in each.outputs}

    def others(operator: Operator) -> list[tuple[int, int]]:
        if model.word(operator) not in {"ADD", "MUL", "SUB", "CONCATENATION"}:
            return []
        read = [int(index) for index in operator.inputs]
        return [
            (place, other)
            for place, index in enumerate(read)
            if model.floating(index)
            for other, made in order.items()
            if made < order.get(index, 0) and model.shape(other) == model.shape(index)
            if other not in read and model.floating(other)
        ]

    operator = model.pick(rng, others)
    if operator is None:
        return None
    found = others(operator)
    place, other = found[int(rng.integers(len(found)))]
    operator.inputs = [*operator.inputs]
    operator.inputs[place] = other
    return [operator]


@_fault("axis-not-remapped", "reduce-axis-or-bias", "softmax-axis", "concat-order")
def axis_wrong(model: TfliteModel, rng: Random) -> Guilty:
    """A mean is taken over two other axes of the same sizes."""

    def other(operator: Operator) -> np.ndarray | None:
        axes = model.constant(int(operator.inputs[1])) if model.word(operator) in {"MEAN", "SUM"} else None
        shape = model.shape(int(operator.inputs[0]))
        if axes is None or axes.size != 1:
            return None
        axis = int(axes.reshape(-1)[0]) % len(shape)
        for one in range(1, len(shape)):
            if one != axis and shape[one] == shape[axis]:
                return np.full_like(axes, one)
        return None

    operator = model.pick(rng, lambda each: other(each) is not None)
    if operator is None:
        return None
    model.set_input(operator, 1, other(operator))
    return [operator]


@_fault("operation-extra", "saturation")
def clip_inserted(model: TfliteModel, rng: Random) -> Guilty:
    return _inserted(model, rng, "MINIMUM", lambda values: np.quantile(values, 0.7), schema.MaximumMinimumOptionsT())


@_fault("operation-extra", "constant-changed")
def offset_inserted(model: TfliteModel, rng: Random) -> Guilty:
    return _inserted(model, rng, "ADD", lambda values: 0.2 * np.abs(values).max(), schema.AddOptionsT())


@_fault("operation-extra", "constant-changed")
def factor_inserted(model: TfliteModel, rng: Random) -> Guilty:
    return _inserted(model, rng, "MUL", lambda _: 1.1, schema.MulOptionsT())


@_fault("operation-extra")
def activation_inserted(model: TfliteModel, rng: Random) -> Guilty:
    index = _some(model, rng)
    return None if index is None else [model.insert_after(index, str(rng.choice(["RELU", "TANH", "ABS"])))]


def _some(model: TfliteModel, rng: Random) -> int | None:
    found = [int(each.outputs[0]) for each in model.operators if model.floating(int(each.outputs[0]))]
    return found[int(rng.integers(len(found)))] if found else None


def _inserted(
    model: TfliteModel, rng: Random, word: str, number: Callable[[np.ndarray], float], options: object
) -> Guilty:
    index = _some(model, rng)
    if index is None:
        return None
    constant = np.float32(number(model.tensors[index])).reshape(())
    return [model.insert_after(index, word, constant, options=options)]


@_fault("operation-missing", "activation-variant")
def operator_lost(model: TfliteModel, rng: Random) -> Guilty:
    """An operator that keeps its operand's shape is gone."""
    words = {
        "LOGISTIC",
        "TANH",
        "RELU",
        "RELU6",
        "LEAKY_RELU",
        "HARD_SWISH",
        "MUL",
        "ADD",
        "SUB",
        "GELU",
        "ELU",
        "PRELU",
    }

    def same(operator: Operator) -> bool:
        first, made = int(operator.inputs[0]), int(operator.outputs[0])
        kept = model.word(operator) in words and made not in model.outputs and model.computed(first)
        return kept and model.floating(made) and model.shape(first) == model.shape(made)

    operator = model.pick(rng, same)
    if operator is None:
        return None
    model.remove(operator, int(operator.inputs[0]))
    return [operator]


FAULTS: Mapping[str, LiteFault] = {**LITE_FAULTS, **_MORE}
