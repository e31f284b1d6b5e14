"""Faults in the constants of a TFLite file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.faults.planting.lite_registry import FLOAT, INTEGER, Guilty, fault
from benchmarks.faults.tflite_model import Operator, TfliteModel

Random = np.random.Generator
BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
"""Operations with a weight, their input 1, and where their bias stands."""


def weight_of(model: TfliteModel, operator: Operator) -> np.ndarray | None:
    """Convolutions [out, height, width, in], depthwise [1, height, width, out], full layers [out, in]."""
    if model.word(operator) not in BIAS:
        return None
    found = model.constant(int(operator.inputs[1]))
    return found if found is not None and found.ndim > 1 and found.dtype in (np.float32, np.int8) else None


def _weighted(
    model: TfliteModel, rng: Random, wanted: Callable[[np.ndarray], bool] = lambda _: True
) -> tuple[Operator, np.ndarray] | None:
    operator = model.pick(rng, lambda each: (found := weight_of(model, each)) is not None and wanted(found))
    weight = weight_of(model, operator) if operator is not None else None
    return None if weight is None else (operator, weight)


def _channels(model: TfliteModel, operator: Operator, weight: np.ndarray) -> int:
    """The axis of the output's channels."""
    return weight.ndim - 1 if model.word(operator) == "DEPTHWISE_CONV_2D" else 0


def _redrawn(weight: np.ndarray, rng: Random) -> np.ndarray:
    bound = 1 / np.sqrt(max(1.0, weight.size / weight.shape[0]))
    return rng.uniform(-bound, bound, weight.shape).astype(np.float32)


@fault("weights-changed")
def weights_changed(model: TfliteModel, rng: Random) -> Guilty:
    """One weight carries noise of a percent."""
    found = _weighted(model, rng)
    if found is None:
        return None
    operator, weight = found
    noise = rng.standard_normal(weight.shape) * 0.01 * weight.std()
    model.set_input(operator, 1, (weight + noise).astype(np.float32))
    return [operator]


@fault("weights-partly-loaded", "weights-not-loaded")
def weights_partly_loaded(model: TfliteModel, rng: Random) -> Guilty:
    """One weight is as its constructor left it."""
    found = _weighted(model, rng)
    if found is None:
        return None
    model.set_input(found[0], 1, _redrawn(found[1], rng))
    return [found[0]]


@fault("weights-not-loaded", "weights-partly-loaded")
def weights_not_loaded(model: TfliteModel, rng: Random) -> Guilty:
    """All of them are."""
    changed: list[Operator] = []
    fresh: dict[int, int] = {}
    for operator in model.operators:
        weight = weight_of(model, operator)
        if weight is not None:
            stored = int(operator.inputs[1])
            if stored not in fresh:
                fresh[stored] = model.add(stored, f"fresh_{stored}", _redrawn(weight, rng))
            operator.inputs = [operator.inputs[0], fresh[stored], *operator.inputs[2:]]
            changed.append(operator)
    return [each for each in changed if not _after(model, each, changed)] or None


def _after(model: TfliteModel, operator: Operator, others: list[Operator]) -> bool:
    """Whether an operator reads, however far up, what one of the others computes."""
    rest = [int(index) for index in operator.inputs]
    while rest:
        maker = model.producer(rest.pop())
        if maker is not None and any(maker is other for other in others):
            return True
        rest += [int(index) for index in maker.inputs] if maker is not None else []
    return False


@fault("weights-reduced-precision", "precision-fp16")
def weights_half(model: TfliteModel, rng: Random) -> Guilty:
    """One weight went through float16."""
    found = _weighted(model, rng)
    if found is None:
        return None
    model.set_input(found[0], 1, found[1].astype(np.float16).astype(np.float32))
    return [found[0]]


@fault("weights-permuted", forms=FLOAT + INTEGER)
def weights_permuted(model: TfliteModel, rng: Random) -> Guilty:
    """The output channels of one weight stand in another order."""
    found = _weighted(model, rng)
    if found is None:
        return None
    axis = _channels(model, *found)
    model.set_input(found[0], 1, np.roll(found[1], max(1, found[1].shape[axis] // 4), axis))
    return [found[0]]


@fault("weights-transposed")
def weights_transposed(model: TfliteModel, rng: Random) -> Guilty:
    """A square matrix is stored the other way round."""
    found = _weighted(model, rng, lambda w: max(w.shape) ** 2 == w.size and w.shape[0] == w.shape[-1] > 1)
    if found is None:
        return None
    model.set_input(found[0], 1, np.swapaxes(found[1], 0, -1))
    return [found[0]]


@fault("weights-transposed", "spatial-flip", "weights-permuted")
def kernel_flipped(model: TfliteModel, rng: Random) -> Guilty:
    """A convolution's kernel is mirrored."""
    found = _weighted(model, rng, lambda w: w.ndim == 4 and w.shape[2] > 1)
    if found is None:
        return None
    model.set_input(found[0], 1, found[1][:, :, ::-1])
    return [found[0]]


@fault("weights-bias-missing", forms=FLOAT + INTEGER)
def weights_bias_missing(model: TfliteModel, rng: Random) -> Guilty:
    """A bias is lost."""

    def bias(operator: Operator) -> np.ndarray | None:
        place = BIAS.get(model.word(operator), len(operator.inputs))
        return model.constant(int(operator.inputs[place])) if place < len(operator.inputs) else None

    operator = model.pick(rng, lambda each: (found := bias(each)) is not None and found.any())
    if operator is None:
        return None
    model.set_input(operator, BIAS[model.word(operator)], np.zeros_like(bias(operator)))
    return [operator]


@fault("constant-changed", "attention-scale", "norm-epsilon")
def constant_changed(model: TfliteModel, rng: Random) -> Guilty:
    """A number in the formula is another one."""

    def place(operator: Operator) -> int | None:
        if model.word(operator) not in {"MUL", "ADD", "SUB"} or not model.computed(int(operator.outputs[0])):
            return None
        for which in (0, 1):
            found = model.constant(int(operator.inputs[which]))
            if found is not None and found.size == 1 and found.dtype == np.float32 and abs(found.item()) > 1e-4:
                return which
        return None

    operator = model.pick(rng, lambda each: place(each) is not None)
    if operator is None:
        return None
    which = place(operator)
    model.set_input(operator, which, (model.constant(int(operator.inputs[which])) * 1.25).astype(np.float32))
    return [operator]
