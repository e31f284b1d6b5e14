"""Which tensors of a TFLite file stand for a guilty operator, and which stand beside it."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.faults.tflite_model import MOVING, PASSING, Operator, TfliteModel


def lite_region(model: TfliteModel, operators: Iterable[Operator]) -> tuple[str, ...]:
    """The outputs of the guilty operators, and the same tensors in other clothes: quantised, reshaped, transposed."""
    names: dict[str, None] = {}
    for each in operators:
        for index in each.outputs:
            names.update(dict.fromkeys(_downwards(model, int(index))))
    return tuple(names)


def lite_neighbours(model: TfliteModel, operators: Iterable[Operator], region: Iterable[str]) -> tuple[str, ...]:
    """The tensors one operator before and after; the same tensor in other clothes is no step."""
    found: dict[str, None] = {}
    inside = set(region)
    within = [each for each in model.operators if any(model.name(int(index)) in inside for index in each.outputs)]
    for each in [*operators, *within]:
        for index in each.inputs:
            if index >= 0 and model.computed(int(index)):
                found.update(dict.fromkeys(_upwards(model, int(index))))
        for index in each.outputs:
            for reader in model.consumers(int(index)):
                found.update(dict.fromkeys(lite_region(model, [reader])))
    return tuple(name for name in found if name not in inside)


def _downwards(model: TfliteModel, index: int) -> list[str]:
    names, reader = [model.name(index)], model.sole_consumer(index)
    while reader is not None and model.word(reader) in PASSING | MOVING:
        names.append(model.name(reader.outputs[0]))
        reader = model.sole_consumer(reader.outputs[0])
    return names


def _upwards(model: TfliteModel, index: int) -> list[str]:
    names, maker = [model.name(index)], model.producer(index)
    while maker is not None and model.word(maker) in PASSING | MOVING:
        names.append(model.name(int(maker.inputs[0])))
        maker = model.producer(int(maker.inputs[0]))
    return names
