"""Build cases on the forms that models are deployed in: TFLite and ONNX made of Keras, TFLite made of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.faults import onnx2tf_form
from benchmarks.faults.architectures import ARCHITECTURES, Feeds
from benchmarks.faults.baselines import reference_tensors
from benchmarks.faults.built import Built, Target
from benchmarks.faults.clean import REWRITES
from benchmarks.faults.counterparts import Counterparts
from benchmarks.faults.forms import EAGER, build_form, run_onnx
from benchmarks.faults.keras_forms import KERAS_FORMS, keras_form
from benchmarks.faults.keras_networks import KERAS_NETWORKS
from benchmarks.faults.lite_clean import LITE_REWRITES
from benchmarks.faults.lite_regions import lite_neighbours, lite_region
from benchmarks.faults.onnx_model import OnnxModel
from benchmarks.faults.planting import FAULTS, OnnxFault
from benchmarks.faults.planting.lite import LITE_FAULTS, LiteFault
from benchmarks.faults.planting.modules import Variant
from benchmarks.faults.regions import neighbours, region
from benchmarks.faults.tflite_model import TfliteModel
from benchmarks.faults.truth import Truth

if TYPE_CHECKING:
    from benchmarks.faults.cases import Case

Readers = Callable[[str], Iterable[str]]
_DRAWS = 8
_VISIBLE = 1e-6
_VISIBLE_QUANTISED = 0.05
"""Relative change of an output below which a fault does not show; the steps of int8 are no fault."""
_REFERENCES = {
    "tflite": ("tf2onnx", "tf2onnx", "tf2onnx", "tflite"),
    "tf2onnx": ("tflite", "tflite", "tflite", "tf2onnx"),
    "tflite8": ("tflite", "tflite", "tf2onnx", "tflite8"),
    "onnx2tf": ("folded", "folded", EAGER, "onnx2tf"),
}
"""What a candidate's form is compared with, as often as it stands there."""


def missing(form: str) -> str | None:
    """Why nothing can be built in a form here; None where it can."""
    if form == "onnx2tf":
        return None if onnx2tf_form.python() else "no environment with onnx2tf is named (--onnx2tf)"
    absent = [name for name in ("tensorflow", "tf2onnx") if form in KERAS_FORMS and find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def makers() -> dict[str, str]:
    """What the page says of the tools that make the forms."""
    keras, onnx2tf = missing("tf2onnx"), missing("onnx2tf")
    return {
        "Keras → TFLite, Keras → ONNX": f"skipped, {keras}"
        if keras
        else f"TensorFlow {version('tensorflow')}, tf2onnx {version('tf2onnx')}",
        "ONNX → TFLite": f"skipped, {onnx2tf}" if onnx2tf else f"onnx2tf {onnx2tf_form.version()}",
    }


@dataclass(frozen=True, slots=True)
class DeployedWorkshop:
    """Everything that building one such case needs."""

    case: Case
    forms: Path
    folder: Path
    rng: np.random.Generator

    def build(self, name: str) -> Built | None:
        """The case on this network, None where it has no place."""
        if self.case.group != "clean":
            return self._onnx_fault(name) if self.case.form == "tf2onnx" else self._lite_fault(name)
        if self.case.kind in LITE_REWRITES or self.case.kind in REWRITES:
            return self._rewritten(name)
        left, right = (self._target(name, form) for form in self.case.kind.split("-"))
        return self._built(name, left, right, Truth(blame="nobody", planted=f"clean: {self.case.kind}"))

    def _target(self, name: str, form: str) -> Target:
        if form == EAGER:
            return Target(EAGER, variant=Variant(name, self.case.seed))
        return Target(form, file=str(self._file(name, form)))

    def _file(self, name: str, form: str) -> Path:
        if form == "onnx2tf":
            return onnx2tf_form.onnx2tf_form(name, self.forms, self.case.seed)
        make = keras_form if name in KERAS_NETWORKS else build_form
        return make(name, form, self.forms, self.case.seed)

    def _feeds(self, name: str) -> Feeds:
        return (KERAS_NETWORKS.get(name) or ARCHITECTURES[name]).feeds(self.case.seed + 1)

    def _reference(self, name: str) -> Target:
        offered = _REFERENCES[self.case.form]
        return self._target(name, offered[int(self.rng.integers(len(offered)))])

    def _built(self, name: str, reference: Target, candidate: Target, truth: Truth) -> Built:
        return Built(self.case, name, reference, candidate, truth, self._feeds(name))

    def _onnx_fault(self, name: str) -> Built | None:
        fault = FAULTS[self.case.kind]
        whole = OnnxModel.read(self._file(name, self.case.form), self._feeds(name))
        before = run_onnx(whole.proto, whole.feeds)
        for _ in range(_DRAWS):
            model = whole.copy()
            nodes = fault.plant(model, self.rng)
            if nodes is None:
                return None
            if not _shows(before, _tried(lambda model=model: run_onnx(model.proto, model.feeds)), _VISIBLE):
                continue
            reference = self._reference(name)
            edited, model = model, OnnxModel(model.proto, model.feeds)
            known = self._counterparts(name, reference, whole.tensors, model.made_of)
            exact, near = _shown(known, region(model, nodes, {}, extend=False), partial(neighbours, model))
            truth = Truth(
                blame="node",
                exact=exact,
                near=near,
                causes=_causes(fault, edited),
                random=fault.name == "random-op",
                planted=f"{fault.name} at {nodes[0].output[0]}",
            )
            return self._built(name, reference, self._onnx_written(model), truth)
        return None

    def _lite_fault(self, name: str) -> Built | None:
        fault = LITE_FAULTS[self.case.kind]
        whole = TfliteModel.read(self._file(name, self.case.form), self._feeds(name))
        before, visible = whole.run(), _VISIBLE_QUANTISED if self.case.form == "tflite8" else _VISIBLE
        for _ in range(_DRAWS):
            model = whole.copy()
            operators = fault.plant(model, self.rng)
            if operators is None:
                return None
            if not _shows(before, _tried(model.run), visible):
                continue
            reference = self._reference(name)
            known = self._counterparts(name, reference, whole.numbers(), model.made_of)
            exact, near = _shown(known, lite_region(model, operators), partial(lite_neighbours, model, operators))
            truth = Truth(
                blame="node",
                exact=exact,
                near=near,
                causes=_causes(fault, model),
                planted=f"{fault.name} at {model.name(int(operators[0].outputs[0]))}",
            )
            return self._built(name, reference, self._lite_written(model), truth)
        return None

    def _counterparts(
        self, name: str, reference: Target, values: Mapping[str, np.ndarray], readers: Readers
    ) -> Counterparts:
        rough = "tflite8" in {self.case.form, reference.form}
        tensors = reference_tensors(reference.open(), self._feeds(name))
        return Counterparts.among(tensors, values, readers, 0.1 if rough else 1e-4)

    def _rewritten(self, name: str) -> Built | None:
        truth = Truth(blame="nobody", planted=f"clean: {self.case.kind}")
        path, feeds = self._file(name, self.case.form), self._feeds(name)
        if self.case.form == "tf2onnx":
            onnx_model = OnnxModel.read(path, feeds)
            if not REWRITES[self.case.kind](onnx_model, self.rng):
                return None
            return self._built(name, self._reference(name), self._onnx_written(onnx_model), truth)
        model = TfliteModel.read(path, feeds)
        before = model.run()
        if not LITE_REWRITES[self.case.kind](model, self.rng):
            return None
        if _shows(before, model.run(), _VISIBLE * 10):
            raise RuntimeError(f"{self.case.kind} is no benign rewrite of {name}")
        return self._built(name, self._reference(name), self._lite_written(model), truth)

    def _onnx_written(self, model: OnnxModel) -> Target:
        import onnx

        file = self.folder / "candidate.onnx"
        onnx.save(model.proto, file)
        return Target(self.case.form, file=str(file))

    def _lite_written(self, model: TfliteModel) -> Target:
        file = self.folder / "candidate.tflite"
        file.write_bytes(model.packed())
        return Target(self.case.form, file=str(file))


def _shown(
    known: Counterparts, guilty: tuple[str, ...], beside: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(exact, near), each with the values where those show that have no counterpart on the other side."""
    exact = tuple(dict.fromkeys((*guilty, *known.shown(guilty))))
    near = beside(exact)
    return exact, tuple(name for name in dict.fromkeys((*near, *known.shown(near))) if name not in exact)


def _causes(fault: OnnxFault | LiteFault, model: OnnxModel | TfliteModel) -> tuple[str, ...]:
    """What is right to say; an edit for one of several users of a weight may be told as just that."""
    return (*fault.causes, "weights-shared-edited") if model.divided and fault.causes else fault.causes


def _tried(run: Any) -> list[np.ndarray] | None:
    """The outputs, or None where the edit made an invalid model."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    failures = (errors.Fail, errors.InvalidGraph, errors.InvalidArgument, errors.NotImplemented)
    try:
        return list(run())
    except (*failures, errors.RuntimeException, ValueError, RuntimeError):
        return None


def _shows(before: list[np.ndarray], after: list[np.ndarray] | None, visible: float) -> bool:
    """Whether a fault shows in any output, and leaves their shapes as they were."""
    if after is None or any(old.shape != new.shape for old, new in zip(before, after, strict=True)):
        return False
    for old, new in zip(before, after, strict=True):
        gap = np.abs(new.astype(np.float64) - old)
        if not np.isfinite(new).all() or gap.max() > visible * max(np.abs(old.astype(np.float64)).max(), 1e-30):
            return True
    return False
