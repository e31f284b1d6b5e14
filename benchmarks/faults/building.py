"""Build one case: two targets, what they are fed, and the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.architectures import ARCHITECTURES, Architecture, Feeds
from benchmarks.faults.cases import Case
from benchmarks.faults.clean import REWRITES
from benchmarks.faults.forms import EAGER, build_form, export, run_onnx
from benchmarks.faults.onnx_model import Node, OnnxModel
from benchmarks.faults.planting import FAULTS, OnnxFault
from benchmarks.faults.planting.inputs import INPUT_FAULTS
from benchmarks.faults.planting.modules import MODULE_FAULTS, Changed, Variant, leaves_in_order, make
from benchmarks.faults.truth import Truth, module_path, neighbours, region

VISIBLE = 1e-6
"""Relative change of an output below which a fault does not show, and is drawn again."""
_DRAWS = 8


class NoPlaceError(Exception):
    """No architecture offered has a place for the fault."""


@dataclass(frozen=True, slots=True)
class Target:
    """One side: a file, or a live module that the comparing process builds again."""

    form: str
    file: str | None = None
    variant: Variant | None = None

    def open(self) -> Any:
        """What ``aligner.compare`` takes."""
        if self.variant is not None:
            return make(self.variant).module
        return self.file

    def outputs(self, feeds: Feeds) -> list[np.ndarray]:
        """Run it without the tool."""
        if self.file is not None and self.file.endswith(".onnx"):
            return run_onnx(self.file, feeds)
        import torch

        module = torch.jit.load(self.file) if self.file is not None else self.open()
        with torch.no_grad():
            found = module(*(torch.from_numpy(array.copy()) for array in feeds.values()))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]


@dataclass(frozen=True, slots=True)
class Built:
    """A case ready to be compared; ``feeds`` may hold "reference.x" and "candidate.x"."""

    case: Case
    architecture: str
    reference: Target
    candidate: Target
    truth: Truth
    feeds: Feeds = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Lay it down for another process."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "feeds.npz", **self.feeds)
        record = {key: asdict(getattr(self, key)) for key in ("case", "reference", "candidate", "truth")}
        (folder / "case.json").write_text(json.dumps(record | {"architecture": self.architecture}, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Built:
        record = json.loads((folder / "case.json").read_text())
        case = record["case"] | {"architectures": tuple(record["case"]["architectures"])}
        truth = {key: tuple(value) if isinstance(value, list) else value for key, value in record["truth"].items()}
        with np.load(folder / "feeds.npz") as arrays:
            feeds = {name: arrays[name] for name in arrays.files}
        return cls(
            Case(**case),
            record["architecture"],
            *(_target(record[key]) for key in ("reference", "candidate")),
            Truth(**truth),
            feeds,
        )


def _target(record: dict[str, Any]) -> Target:
    variant = record["variant"]
    return Target(record["form"], record["file"], None if variant is None else Variant(**variant))


def build(case: Case, forms: Path, folder: Path) -> Built:
    """Build the case on the first architecture that has a place for it; raises NoPlaceError otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(case, forms, folder)
    for name in case.architectures:
        built = workshop.build(ARCHITECTURES[name])
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
        faults = self._two_kinds() if double else [FAULTS[self.case.kind]]
        for form in self._ordered(faults[0].forms, architecture):
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
        truth = self._module_truth(architecture, target, found)
        return Built(self.case, architecture.name, side, target, truth, feeds)

    def _module_truth(self, architecture: Architecture, target: Target, found: Changed) -> Truth:
        module = make(Variant(architecture.name, self.case.seed)).module
        classes = module_classes(architecture, self.case.seed)
        first = _first_guilty(found, classes)
        order = [path for path, _ in leaves_in_order(module, architecture, self.case.seed)]
        near = [*first, *(path for each in first if each in order for path in _beside(order, each))]
        exact: tuple[str, ...] = ()
        close: tuple[str, ...] = ()
        if target.file is not None and target.file.endswith(".onnx"):
            model = OnnxModel.read(Path(target.file), self.probe(architecture))
            nodes = _guilty_nodes(model, found, first)
            exact = region(model, _shown(model, nodes, found), classes, extend=True)
            close = neighbours(model, exact)
        fault = MODULE_FAULTS[self.case.kind]
        scopes = [f"{path}:{found.kind}" if found.kind else path for path in first]
        if found.missing:  # what is not there shows at the next operation
            scopes += order[order.index(first[0]) + 1 :][:1]
        return Truth(
            blame="node",
            exact=exact,
            near=close,
            scopes=tuple(scopes),
            near_scopes=tuple(dict.fromkeys(near)),
            causes=fault.causes,
            random=found.kind == "dropout",
            planted=f"{fault.name} at {first[0]}",
        )

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


def module_classes(architecture: Architecture, seed: int) -> dict[str, str]:
    """Path → class of every module."""
    return {path: type(part).__name__ for path, part in architecture.module(seed).named_modules() if path}


def _first_guilty(found: Changed, classes: dict[str, str]) -> list[str]:
    """The guilty modules that no other stands before: embeddings run side by side."""
    if not found.everywhere:
        return list(found.guilty)
    first = list(_leading(found.guilty, classes))
    return first or list(found.guilty[:1])


def _leading(paths: tuple[str, ...], classes: dict[str, str]) -> Iterator[str]:
    for path in paths:
        yield path
        if classes.get(path) != "Embedding":
            return


def _beside(order: list[str], path: str) -> list[str]:
    place = order.index(path)
    return order[max(0, place - 1) : place + 2]


def _shown(model: OnnxModel, nodes: list[Node], found: Changed) -> list[Node]:
    """The guilty nodes, and for an operation that is missing, those that should have read it."""
    if not found.missing or not nodes:
        return nodes
    return [*nodes, *model.readers(nodes[-1].output[0])]


def _guilty_nodes(model: OnnxModel, found: Changed, first: list[str]) -> list[Node]:
    """The guilty modules' nodes in an exported file; for faults everywhere, those without a guilty ancestor."""
    wanted = {"mul": {"Mul"}, "dropout": {"Dropout"}}.get(found.kind)
    if not found.everywhere:
        nodes = [node for node in model.nodes if module_path(node) in first and model.computed(node.output[0])]
        return [node for node in nodes if node.op_type in wanted] if wanted else nodes
    guilty = set(found.guilty)
    tainted: set[str] = set()
    roots = []
    for node in model.nodes:
        upstream = any(name in tainted for name in node.input)
        mine = module_path(node) in guilty and any(model.constant(name) is not None for name in node.input)
        if mine and not upstream:
            roots.append(node)
        if mine or upstream:
            tainted.update(node.output)
    return roots
