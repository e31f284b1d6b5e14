"""Faults in the scales and zero points of a quantised TFLite file."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.planting.lite_registry import INTEGER, Guilty, fault
from benchmarks.faults.planting.lite_weights import BIAS, weight_of
from benchmarks.faults.tflite_model import Operator, TfliteModel

Random = np.random.Generator


def _activation(model: TfliteModel, rng: Random) -> Operator | None:
    """An operator that computes a quantised tensor which another one reads."""
    return model.pick(rng, lambda each: _quantised(model, int(each.outputs[0])))


def _quantised(model: TfliteModel, index: int) -> bool:
    known = model.graph.tensors[index].quantization
    inner = bool(model.consumers(index)) and index not in model.outputs and model.computed(index)
    return inner and model.dtype(index) == "int8" and known is not None and known.scale is not None


def _read_back(model: TfliteModel, rng: Random) -> tuple[Operator, object] | None:
    """The same bytes under another description, for all who read them."""
    operator = _activation(model, rng)
    if operator is None:
        return None
    index = int(operator.outputs[0])
    shape = model.shape(index)
    same = model.insert_after(
        index, "RESHAPE", np.array(shape, np.int32), options=schema.ReshapeOptionsT(newShape=[*shape]), shape=shape
    )
    return same, model.graph.tensors[same.outputs[0]].quantization


@fault("quantization-scale", forms=INTEGER)
def quantization_scale(model: TfliteModel, rng: Random) -> Guilty:
    """A tensor is read back with another scale than it was stored with."""
    found = _read_back(model, rng)
    if found is None:
        return None
    found[1].scale = [float(found[1].scale[0]) * 1.5]
    return _shown(model, found[0])


@fault("quantization-zero-point", forms=INTEGER)
def quantization_zero_point(model: TfliteModel, rng: Random) -> Guilty:
    """A tensor is read back with another zero point than it was stored with."""
    found = _read_back(model, rng)
    if found is None:
        return None
    zero = int(found[1].zeroPoint[0])
    found[1].zeroPoint = [zero - 24 if zero > 0 else zero + 24]
    return _shown(model, found[0])


def _shown(model: TfliteModel, same: Operator) -> list[Operator]:
    maker = model.producer(int(same.inputs[0]))
    return [same, *([maker] if maker is not None else []), *model.readers(int(same.outputs[0]))]


@fault("quantization-calibration", "saturation", "quantization-scale", forms=INTEGER)
def quantization_calibration(model: TfliteModel, rng: Random) -> Guilty:
    """A tensor's range was calibrated on the wrong data: a quarter of what it needs."""
    operator = _activation(model, rng)
    if operator is None:
        return None
    known = model.graph.tensors[operator.outputs[0]].quantization
    known.scale = [float(known.scale[0]) / 4]
    return [operator, *(each for each in model.consumers(int(operator.outputs[0])) if _has_coded_bias(model, each))]


def _has_coded_bias(model: TfliteModel, operator: Operator) -> bool:
    """Whether a layer adds a bias in steps of its input's scale times its kernel's, and errs by another scale."""
    place = BIAS.get(model.word(operator), len(operator.inputs))
    given = len(operator.inputs) > place and operator.inputs[place] >= 0
    bias = model.constant(int(operator.inputs[place])) if given else None
    return bias is not None and bias.dtype == np.int32


@fault("quantization-scale", "weights-permuted", "weights-quantized", forms=INTEGER)
def quantization_axis(model: TfliteModel, rng: Random) -> Guilty:
    """The scales of a weight's channels are in another order."""

    def scales(operator: Operator) -> np.ndarray:
        weight = weight_of(model, operator)
        known = model.graph.tensors[operator.inputs[1]].quantization if weight is not None else None
        return np.asarray([] if known is None or known.scale is None else known.scale)

    operator = model.pick(rng, lambda each: scales(each).size > 1)
    if operator is None:
        return None
    rolled = np.roll(scales(operator), 1)
    model.set_input(operator, 1, weight_of(model, operator))
    model.graph.tensors[operator.inputs[1]].quantization.scale = [float(each) for each in rolled]
    return [operator]
