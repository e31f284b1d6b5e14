"""Whether a fault in the candidate changes who is paired with whom beyond the fault's own region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alignment.pairing import Pairing, pairing
from benchmarks.faults.architectures import ARCHITECTURES, Feeds
from benchmarks.faults.onnx_model import OnnxModel
from benchmarks.faults.planting import FAULTS, attributes, weights
from benchmarks.faults.regions import neighbours, region

UNLOADED = "all weights drawn anew"


@dataclass(frozen=True, slots=True)
class Moved:
    """``kept`` of ``outside`` pairs that lie outside the fault's region are the same; ``lost`` says which are not."""

    fault: str
    outside: int
    kept: int
    lost: tuple[str, ...]


def faulted(
    name: str, reference: Any, file: Path, clean: Pairing, feeds: Feeds, folder: Path, faults: int, seed: int
) -> Iterator[Moved]:
    """Plant some faults of weights and attributes, one at a time, and all weights anew; pair again each time."""
    import onnx

    whole = OnnxModel.read(file, feeds)
    rng = np.random.default_rng([seed, len(name)])
    kinds = [fault for fault in FAULTS.values() if fault.plant.__module__ in {attributes.__name__, weights.__name__}]
    planted = 0
    for place in rng.permutation(len(kinds)):
        fault, model = kinds[int(place)], whole.copy()
        nodes = fault.plant(model, rng)
        if nodes is None or not _runs(model):
            continue
        model = OnnxModel(model.proto, feeds)
        guilty = region(model, nodes, {}, extend=True)
        target = folder / f"{name}-{fault.name}.onnx"
        onnx.save(model.proto, target)
        yield _moved(
            f"{fault.name} at {guilty[0]}", reference, target, clean, feeds, {*guilty, *neighbours(model, guilty)}
        )
        planted += 1
        if planted == faults:
            break
    target = folder / f"{name}-unloaded.onnx"
    onnx.save(unloaded(whole, rng).proto, target)
    yield _moved(UNLOADED, reference, target, clean, feeds, set())


def unloaded(whole: OnnxModel, rng: np.random.Generator) -> OnnxModel:
    """The model with every float weight replaced by normal numbers of the same spread."""
    from onnx import numpy_helper

    model = whole.copy()
    for initializer in model.proto.graph.initializer:
        array = numpy_helper.to_array(initializer)
        if array.dtype.kind == "f" and array.ndim and array.size > 1:
            drawn = rng.normal(array.mean(), array.std() + 1e-3, array.shape)
            positive = np.abs(drawn) if (array > 0).all() else drawn
            initializer.CopyFrom(numpy_helper.from_array(positive.astype(array.dtype), initializer.name))
    return model


def _runs(model: OnnxModel) -> bool:
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    from benchmarks.faults.forms import run_onnx

    try:
        run_onnx(model.proto, model.feeds)
    except (errors.Fail, errors.InvalidGraph, errors.InvalidArgument, errors.RuntimeException, errors.NotImplemented):
        return False
    return True


def _moved(fault: str, reference: Any, file: Path, clean: Pairing, feeds: Feeds, near: set[str]) -> Moved:
    found = pairing(reference, str(file), feeds, measure=False).pairs
    outside = {value: partner for value, partner in clean.pairs.items() if value not in near}
    lost = tuple(
        f"{value}: {found.get(value, 'unpaired')} instead of {partner}"
        for value, partner in outside.items()
        if found.get(value) != partner
    )
    return Moved(fault, len(outside), len(outside) - len(lost), lost)


def seeds_of(name: str, seed: int) -> Feeds:
    """What both sides are fed: not what the exporters traced with."""
    return ARCHITECTURES[name].feeds(seed + 1)
