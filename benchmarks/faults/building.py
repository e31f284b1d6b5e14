"""Build one case: draw until a fault shows, and write down the truth."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from benchmarks.faults.architectures import ARCHITECTURES, Architecture, Feeds
from benchmarks.faults.built import Built, Target
from benchmarks.faults.cases import Case
from benchmarks.faults.clean import REWRITES
from benchmarks.faults.deployed import DeployedWorkshop
from benchmarks.faults.forms import EAGER, build_form, export, run_onnx
from benchmarks.faults.guilty_modules import module_classes, module_truth
from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting import FAULTS, OnnxFault
from benchmarks.faults.planting.inputs import INPUT_FAULTS
from benchmarks.faults.planting.modules import MODULE_FAULTS, Changed, Variant, make
from benchmarks.faults.regions import neighbours, region
from benchmarks.faults.truth import Truth

VISIBLE = 1e-6
"""Relative change of an output below which a fault does not show, and is drawn again."""
_DRAWS = 8


class NoPlaceError(Exception):
    """No architecture offered has a place for the fault."""


def build(case: Case, forms: Path, folder: Path) -> Built:
    """Build the case on the first architecture that has a place for it; raises NoPlaceError otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(case, forms, folder)
    deployed = DeployedWorkshop(case, forms, folder, workshop.rng) if case.form else None
    for name in case.architectures:
        built = deployed.build(name) if deployed is not None else workshop.build(ARCHITECTURES[name])
        if built is not None:
            return built
    raise NoPlaceError(case.kind)


class Workshop:
    """Everything that building one case needs."""

    def __init__(self, case: Case, forms: Path, folder: Path) -> None:
        self.case, self.forms, self.folder = case, forms, folder
        self.rng = case.rng()

    def build(self, architecture: Architecture) -> Built | None:
        """The case on this architecture, None where it has no place."""
        make_it = {
            "fault": self._fault,
            "double": self._fault,
            "module": self._module,
            "input": self._input,
            "outputs": self._outputs,
            "trap": self._trap,
            "clean": self._clean,
        }[self.case.group]
        return make_it(architecture)

    def form(self, architecture: Architecture, form: str) -> Target:
        """An architecture as it is, in one form."""
        if form == EAGER:
            return Target(EAGER, variant=Variant(architecture.name, self.case.seed))
        return Target(form, file=str(build_form(architecture.name, form, self.forms, self.case.seed)))

    def probe(self, architecture: Architecture) -> Feeds:
        """What both sides are fed: not what the exporters traced with."""
        return architecture.feeds(self.case.seed + 1)

    def _ordered(self, forms: tuple[str, ...], architecture: Architecture) -> list[str]:
        able = [form for form in forms if form not in architecture.lacks]
        return [able[int(i)] for i in self.rng.permutation(len(able))]

    def _reference(self, architecture: Architecture, candidate: str) -> str:
        if candidate == "int8":
            choices = ["eager", "folded", "int8"]
        else:
            choices = ["eager"] * 3 + ["trace", "dynamo", "onnx", candidate]
            choices += ["script"] if architecture.scriptable else ["eager"]
        able = [form for form in choices if form not in architecture.lacks]
        return able[int(self.rng.integers(len(able)))]

    # faults in an ONNX file

    def _fault(self, architecture: Architecture) -> Built | None:
        double = self.case.group == "double"
        offered = ("onnx", "folded", "dynamo", "slim") if double else FAULTS[self.case.kind].forms
        for form in self._ordered(offered, architecture):
            faults = self._two_kinds() if double else [FAULTS[self.case.kind]]
            whole = OnnxModel.read(Path(self.form(architecture, form).file or ""), self.probe(architecture))
            planted = self._plant(whole, faults)
            if planted is not None:
                return self._from_onnx(architecture, form, *planted, faults)
        return None

    def _two_kinds(self) -> list[OnnxFault]:
        able = [fault for fault in FAULTS.values() if fault.doubles and "folded" in fault.forms]
        return [able[int(i)] for i in self.rng.permutation(len(able))[:2]]

    def _plant(self, whole: OnnxModel, faults: list[OnnxFault]) -> tuple[OnnxModel, list[list[Node]]] | None:
        """Draw until every fault shows; None where there is no place for one of them."""
        for _ in range(_DRAWS):
            model, guilty = whole.copy(), []
            before = run_onnx(model.proto, model.feeds)
            for fault in faults:
                nodes = fault.plant(model, self.rng)
                if nodes is None:
                    return None
                after = _try(model)
                if after is None or not changed(before, after):
                    break
                guilty.append(nodes)
                before = after
                model = OnnxModel(model.proto, model.feeds)
            if len(guilty) == len(faults) and _apart(guilty):
                return model, guilty
        return None

    def _from_onnx(
        self,
        architecture: Architecture,
        form: str,
        model: OnnxModel,
        guilty: list[list[Node]],
        faults: list[OnnxFault],
    ) -> Built:
        import onnx

        file = self.folder / "candidate.onnx"
        onnx.save(model.proto, file)
        reference = self._reference(architecture, form)
        modules = module_classes(architecture, self.case.seed)
        order = {node.output[0]: i for i, node in enumerate(model.nodes)}
        ranked = sorted(
            zip(guilty, faults, strict=True), key=lambda pair: min(order.get(n.output[0], -1) for n in pair[0])
        )
        exact = [region(model, nodes, modules, extend=reference != form) for nodes, _ in ranked]
        truth = Truth(
            blame="node",
            exact=exact[0],
            near=neighbours(model, exact[0]),
            causes=ranked[0][1].causes,
            second=exact[1] if len(exact) > 1 else (),
            random=any(fault.name == "random-op" for fault in faults),
            planted=" and ".join(f"{fault.name} at {nodes[0].output[0]}" for nodes, fault in ranked),
        )
        target = Target(form, file=str(file))
        return Built(
            self.case, architecture.name, self.form(architecture, reference), target, truth, self.probe(architecture)
        )

    # faults in a live module

    def _module(self, architecture: Architecture) -> Built | None:
        fault = MODULE_FAULTS[self.case.kind]
        for draw in range(_DRAWS):
            variant = Variant(architecture.name, self.case.seed, fault.candidate, draw + int(self.rng.integers(1000)))
            found = make(variant)
            if not found.guilty:
                return None
            reference = Variant(architecture.name, self.case.seed, fault.reference, variant.draw)
            for form in self._ordered(fault.forms, architecture):
                with contextlib.suppress(ValueError, RuntimeError):  # what the network or its exporter cannot do
                    built = self._module_in_form(architecture, form, variant, reference, found)
                    if built is not None:
                        return built
        return None

    def _module_in_form(
        self, architecture: Architecture, form: str, variant: Variant, reference: Variant, found: Changed
    ) -> Built | None:
        feeds = self.probe(architecture)
        target = Target(EAGER, variant=variant)
        if form != EAGER:
            file = self.folder / f"candidate{'.pt' if form == 'trace' else '.onnx'}"
            export(found.module, architecture, form, file, architecture.feeds(self.case.seed))
            target = Target(form, file=str(file))
        side = Target(EAGER, variant=reference)
        if not changed(side.outputs(feeds), target.outputs(feeds)):
            return None
        truth = module_truth(MODULE_FAULTS[self.case.kind], architecture, self.case.seed, target, found, feeds)
        return Built(self.case, architecture.name, side, target, truth, feeds)

    # inputs and outputs

    def _input(self, architecture: Architecture) -> Built | None:
        if architecture.image is None:
            return None
        wrong, causes = INPUT_FAULTS[self.case.kind]
        form = self._ordered(("onnx", "folded", "dynamo", "slim", "trace"), architecture)[0]
        feeds = dict(self.probe(architecture))
        right = feeds.pop(architecture.image)
        spoilt = np.ascontiguousarray(wrong(right), dtype=np.float32)
        feeds |= {f"reference.{architecture.image}": right, f"candidate.{architecture.image}": spoilt}
        truth = Truth(blame="input", exact=(architecture.image,), causes=causes, planted=self.case.kind)
        return Built(
            self.case,
            architecture.name,
            self.form(architecture, self._reference(architecture, form)),
            self.form(architecture, form),
            truth,
            feeds,
        )

    def _outputs(self, architecture: Architecture) -> Built | None:
        import onnx

        extra = self.case.kind == "output-extra"
        if not extra and len(architecture.outputs) < 3:
            return None
        form = self._ordered(("onnx", "folded", "dynamo", "slim"), architecture)[0]
        model = OnnxModel.read(Path(self.form(architecture, form).file or ""), self.probe(architecture))
        outputs = model.proto.graph.output
        if extra:
            inner = model.pick(self.rng, lambda n: model.tensors[n.output[0]].dtype == np.float32)
            if inner is None or inner.output[0] in model.outputs:
                return None
            outputs.insert(0, onnx.ValueInfoProto(name=inner.output[0]))
            outputs[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        else:
            first = outputs.pop(0)
            outputs.insert(1, first)
        file = self.folder / "candidate.onnx"
        onnx.save(model.proto, file)
        truth = Truth(blame="outputs", causes=(self.case.kind,), planted=self.case.kind)
        reference = self.form(architecture, self._reference(architecture, form))
        return Built(self.case, architecture.name, reference, Target(form, str(file)), truth, self.probe(architecture))

    # what must stay silent

    def _trap(self, architecture: Architecture) -> Built | None:
        kind = "" if self.case.kind == "reused" else self.case.kind
        variant = Variant(architecture.name, self.case.seed, kind)
        form = "onnx"
        file = self.folder / "candidate.onnx"
        plain = kind == "mutating"  # the file is right; the live module spoils what it is fed
        module = make(Variant(architecture.name, self.case.seed) if plain else variant).module
        export(module, architecture, form, file, architecture.feeds(self.case.seed))
        side = Target(EAGER, variant=variant)
        truth = Truth(blame="nobody", planted=f"trap: {self.case.kind}")
        return Built(self.case, architecture.name, side, Target(form, str(file)), truth, self.probe(architecture))

    def _clean(self, architecture: Architecture) -> Built | None:
        truth = Truth(blame="nobody", planted=f"clean: {self.case.kind}")
        feeds = self.probe(architecture)
        if self.case.kind not in REWRITES:
            left, right = (self.form(architecture, form) for form in self.case.kind.split("-"))
            return Built(self.case, architecture.name, left, right, truth, feeds)
        for form in self._ordered(("onnx", "folded", "dynamo"), architecture):
            model = OnnxModel.read(Path(self.form(architecture, form).file or ""), feeds)
            if not REWRITES[self.case.kind](model, self.rng):
                continue
            import onnx

            file = self.folder / "candidate.onnx"
            onnx.save(model.proto, file)
            run_onnx(file, feeds)
            reference = self.form(architecture, self._reference(architecture, form))
            return Built(self.case, architecture.name, reference, Target(form, str(file)), truth, feeds)
        return None


def changed(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    """Whether a fault shows in any output."""
    for old, new in zip(before, after, strict=True):
        if not np.isfinite(new).all():
            return True
        if np.abs(new.astype(np.float64) - old).max() > VISIBLE * max(np.abs(old).max(), 1e-30):
            return True
    return False


def _try(model: OnnxModel) -> list[np.ndarray] | None:
    """The outputs, or None where the edit made an invalid model or another shape."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    failures = (
        errors.Fail,
        errors.InvalidGraph,
        errors.InvalidArgument,
        errors.RuntimeException,
        errors.NotImplemented,
    )
    try:
        found = run_onnx(model.proto, model.feeds)
    except failures:
        return None
    shapes = [tuple(array.shape) for array in found]
    declared = [tuple(d.dim_value for d in out.type.tensor_type.shape.dim) for out in model.proto.graph.output]
    fits = all(0 in shape or not shape or shape == real for shape, real in zip(declared, shapes, strict=True))
    return found if fits else None


def _apart(guilty: list[list[Node]]) -> bool:
    """Whether the faults stand in different nodes."""
    outputs = [{name for node in nodes for name in node.output} for nodes in guilty]
    return len(outputs) < 2 or not outputs[0] & outputs[1]
