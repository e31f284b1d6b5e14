"""Faults in the scales and zero points of a quantised model."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting.registry import Guilty, fault

Random = np.random.Generator
_FORMS = ("int8",)


def _activation(model: OnnxModel, rng: Random) -> Node | None:
    """A DequantizeLinear of a computed tensor."""
    return model.pick(
        rng,
        lambda n: (
            n.op_type == "DequantizeLinear"
            and (maker := model.producer(n.input[0])) is not None
            and maker.op_type == "QuantizeLinear"
        ),
    )


def _shown(model: OnnxModel, node: Node) -> list[Node]:
    maker = model.producer(node.input[0])
    return [node, *([maker] if maker is not None else []), *model.readers(node.output[0])]


@fault("quantization-scale", forms=_FORMS)
def quantization_scale(model: OnnxModel, rng: Random) -> Guilty:
    """A tensor is read back with another scale than it was stored with."""
    node = _activation(model, rng)
    if node is None:
        return None
    model.set_input(node, 1, model.constant(node.input[1]) * np.float32(1.5))
    return _shown(model, node)


@fault("quantization-zero-point", forms=_FORMS)
def quantization_zero_point(model: OnnxModel, rng: Random) -> Guilty:
    """A tensor is read back with another zero point than it was stored with."""
    node = _activation(model, rng)
    if node is None or len(node.input) < 3:
        return None
    zero = model.constant(node.input[2])
    model.set_input(node, 2, ((zero.astype(np.int32) + 24) % 256).astype(zero.dtype))
    return _shown(model, node)


@fault("quantization-calibration", "saturation", "quantization-scale", forms=_FORMS)
def quantization_calibration(model: OnnxModel, rng: Random) -> Guilty:
    """A tensor's range was calibrated on the wrong data: a quarter of what it needs."""
    node = _activation(model, rng)
    if node is None:
        return None
    maker = model.producer(node.input[0])
    narrow = model.constant(node.input[1]) / np.float32(4)
    for each in (maker, *model.consumers(maker.output[0])):
        model.set_input(each, 1, narrow)
    return _shown(model, node)


@fault("quantization-scale", "weights-permuted", "weights-quantized", forms=_FORMS)
def quantization_axis(model: OnnxModel, rng: Random) -> Guilty:
    """The scales of a weight's channels are in another order."""
    node = model.pick(
        rng,
        lambda n: (
            n.op_type == "DequantizeLinear"
            and model.constant(n.input[0]) is not None
            and (scales := model.constant(n.input[1])) is not None
            and scales.size > 1
            and model.constant(n.input[0]).ndim > 1
        ),
    )
    if node is None:
        return None
    model.set_input(node, 1, np.roll(model.constant(node.input[1]), 1))
    return [node, *model.readers(node.output[0])]
