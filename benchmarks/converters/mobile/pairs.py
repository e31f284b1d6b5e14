"""Pairs from a seed: a source, what its tools made of it, and faults in the TFLite file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.mobile.keras_files import SOURCES as KERAS
from benchmarks.converters.mobile.keras_files import image, keras_files
from benchmarks.converters.mobile.lite_faults import FAULTS
from benchmarks.converters.mobile.torch_files import SOURCES, channels_last, network, torch_files
from benchmarks.faults.tflite_model import TfliteModel

Array = np.ndarray
KEPT = 1e-4
"""A file is sound if no output moves by more than this share of its peak."""
SHOWS, SHOWS_IN_EIGHT_BITS = 1e-3, 0.05
"""A fault counts if it moves some output by more than this share of its peak."""
DRAWS = 12
STEPS = 8
_TORCH = ("live", "traced", "scripted", "onnx")
REFERENCES = {**dict.fromkeys(SOURCES, _TORCH), **dict.fromkeys(KERAS, ("tf2onnx", "from_tflite", "keras"))}


@dataclass(slots=True)
class Pair:
    """``guilty``: names that may be told."""

    seed: int
    source: str
    reference_form: str
    twin: str
    reference: Any
    candidate: Path
    inputs: Array
    options: list[str]
    fault: str | None = None
    detail: str = ""
    causes: tuple[str, ...] = ()
    guilty: frozenset[str] = frozenset()
    readers: frozenset[str] = frozenset()
    """Nodes that read too early a tensor as a guilty operator is gone: told as such, they are the place."""
    wrong: list[list[Array]] = field(default_factory=list)
    """The numbers that the guilty operators should have made; what is computed from them, a step further each."""

    @property
    def precise(self) -> bool:
        return self.twin == "float32"


def pairs(
    seed: int, source: str, cache: Path, work: Path, *, faults: int, clean: bool = True, all_forms: bool = False
) -> Iterator[Pair]:
    """Clean pairs with one form as reference or all, and so many faults."""
    folder, options = torch_files(seed, cache, source) if source in SOURCES else (keras_files(seed, cache, source), [])
    if not _sound(_pair(seed, source, REFERENCES[source][0], "float32", folder, options)):
        raise RuntimeError("the tool's file computes something else")
    rng = np.random.default_rng([seed, 127])
    forms = [*REFERENCES[source]] if all_forms else [str(rng.choice(REFERENCES[source])) for _ in range(2)]
    twins = [
        each for each in ("float16", "dynamic_range_quant", "integer_quant") if (folder / f"{each}.tflite").exists()
    ]
    inexact = str(rng.choice(twins)) if twins else "float32"
    if clean:
        for form, twin in dict.fromkeys([*((form, "float32") for form in forms), (forms[-1], inexact)]):
            yield _pair(seed, source, form, twin, folder, options)
    for number in range(faults):
        form = str(rng.choice(REFERENCES[source]))
        twin = "integer_quant" if "integer_quant" in twins and rng.random() < 0.2 else "float32"
        planted = _planted(_pair(seed, source, form, twin, folder, options), rng, work / f"faulty-{number}.tflite")
        if planted is not None:
            yield planted


def _pair(seed: int, source: str, form: str, twin: str, folder: Path, options: list[str]) -> Pair:
    if source in KERAS:
        files = {"tf2onnx": "tf2onnx.onnx", "from_tflite": "from_tflite.onnx", "keras": "source.keras"}
        inputs: Array = image(seed, source)
        reference: Any = folder / files[form]
        if not reference.exists():
            reference, form = folder / "source.keras", "keras"
    else:
        net, picture = network(seed, source)
        inputs = picture.numpy()
        files = {"traced": "traced.pt", "scripted": "scripted.pt", "onnx": "source.onnx"}
        reference = net if form == "live" else folder / files[form]
    return Pair(seed, source, form, twin, reference, folder / f"{twin}.tflite", inputs, options)


def _sound(pair: Pair) -> bool:
    """Whether the tool made no fault of its own: each output is one that the source gives, channels first or last."""
    if pair.source in SOURCES:
        import torch

        with torch.no_grad():
            made = pair.reference(torch.from_numpy(pair.inputs))
        wanted = [each.numpy() for each in (made if isinstance(made, tuple) else (made,))]
    else:
        import onnxruntime

        wanted = onnxruntime.InferenceSession(str(pair.reference)).run(None, {"image": pair.inputs})
    got = read(pair).run()
    return all(any(_equal(one, other) for other in wanted) for one in got) and len(got) == len(wanted)


def _equal(one: Array, other: Array) -> bool:
    if one.shape != other.shape and other.ndim > 2:
        other = channels_last(other)
    if one.shape != other.shape:
        return alike(one, other, KEPT)
    return bool(np.abs(one.astype(np.float64) - other).max() <= KEPT * max(np.abs(other).max(), 1e-30))


def read(pair: Pair) -> TfliteModel:
    whole = TfliteModel.read(pair.candidate, {})
    shape = tuple(int(size) for size in whole.graph.tensors[whole.graph.inputs[0]].shape)
    return TfliteModel(whole.proto, _feeds(pair, shape))


def _feeds(pair: Pair, model_input: tuple[int, ...]) -> dict[str, Array]:
    array = pair.inputs
    if array.shape != model_input and array.ndim > 2:
        array = channels_last(array)
    return {"input": array}


def _planted(pair: Pair, rng: np.random.Generator, path: Path) -> Pair | None:
    model_form = "tflite8" if pair.twin == "integer_quant" else "tflite"
    kinds = [name for name, each in FAULTS.items() if model_form in each.forms and name != "weights-not-loaded"]
    whole = read(pair)
    before = whole.run()
    for _ in range(DRAWS):
        fault, model = FAULTS[kinds[int(rng.integers(len(kinds)))]], whole.copy()
        try:
            operators = fault.plant(model, rng)
            after = model.run() if operators else None
        except (ValueError, RuntimeError, IndexError):  # an edit that makes no valid model
            continue
        if operators and _shown(before, after, SHOWS if pair.precise else SHOWS_IN_EIGHT_BITS):
            path.write_bytes(model.packed())
            pair.candidate, pair.fault = path, fault.name
            pair.causes = (*fault.causes, "weights-shared-edited") if model.divided else fault.causes
            pair.detail = f"{fault.name} at {[model.name(int(each.outputs[0])) for each in operators]}"
            _blame(pair, whole, TfliteModel(model.proto, whole.feeds), operators)
            return pair
    return None


def _shown(before: list[Array], after: list[Array] | None, least: float) -> bool:
    if after is None or any(one.shape != other.shape for one, other in zip(before, after, strict=True)):
        return False
    for one, other in zip(before, after, strict=True):
        gap = np.abs(other.astype(np.float64) - one)
        if not np.isfinite(other).all() or gap.max() > least * max(np.abs(one.astype(np.float64)).max(), 1e-30):
            return True
    return False


def _blame(pair: Pair, whole: TfliteModel, faulty: TfliteModel, operators: list[Any]) -> None:
    """Which tensors of the faulty file hold what was made wrong, and which numbers they should hold."""
    outputs = [int(index) for each in operators for index in each.outputs]
    alive = {int(index) for each in faulty.operators for index in each.outputs}
    made = [faulty.tensors[index] for index in outputs if index in alive]
    names = {faulty.name(index) for index in outputs}
    names |= {faulty.name(index) for index, array in faulty.tensors.items() if any(same(array, one) for one in made)}
    pair.readers = _readers_of_lost(whole, faulty, [index for index in outputs if index not in alive])
    numbers = whole.numbers()
    edge = {
        index
        for each in operators
        for index in [n for n in map(int, each.outputs) if n in whole.tensors]
        or [n for n in map(int, each.inputs) if n in whole.tensors]
    }
    while edge and len(pair.wrong) < STEPS:
        pair.wrong.append([numbers[whole.name(index)] for index in edge])
        edge = {int(made) for index in edge for each in whole.consumers(index) for made in each.outputs}
    pair.guilty = frozenset(names)


def _readers_of_lost(whole: TfliteModel, faulty: TfliteModel, lost: list[int]) -> frozenset[str]:
    kept = {faulty.name(int(each.outputs[0])) for each in faulty.operators}
    return frozenset(whole.name(int(each.outputs[0])) for index in lost for each in whole.consumers(index)) & kept


def alike(one: Array, other: Array, limit: float) -> bool:
    """The same numbers in some order, up to a share of the peak (RMSE)."""
    if one.size != other.size or not one.size or one.dtype.kind != "f":
        return False
    a, b = (np.sort(np.nan_to_num(array.astype(np.float64), posinf=0, neginf=0), None) for array in (one, other))
    return bool(np.sqrt(np.mean((a - b) ** 2)) <= limit * max(np.abs(a).max(), 1e-30))


def same(one: Array, other: Array) -> bool:
    """The same bytes in another order: what was only moved."""
    return (
        one.size == other.size and one.dtype == other.dtype and np.array_equal(np.sort(one, None), np.sort(other, None))
    )
