"""The smallest case that still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.converters.case import FAULT_SHOWS, Case, _same, build
from benchmarks.converters.graph import Array, Graph, run
from benchmarks.converters.scoring import judge
from benchmarks.converters.table import failure

Fails = Callable[[Case], bool]


def shrink(case: Case, *, attempts: int = 60) -> Case:
    """Leave out rewrites, then cut both graphs at tensors that agree, as long as the failure stays of its kind."""
    kind = failure(judge(case))
    if kind is None:
        return case
    left = [attempts]

    def fails(smaller: Case) -> bool:
        left[0] -= 1
        return failure(judge(smaller)) == kind

    case = _fewer_steps(case, fails, left)
    for cuts in (_outputs, _inputs, _outputs, _inputs):
        case = _cut(case, cuts, fails, left)
    return case


def _fewer_steps(case: Case, fails: Fails, left: list[int]) -> Case:
    for side in ("after", "reference", "candidate"):
        for step in getattr(case.recipe, side):
            if left[0] <= 0:
                return case
            steps = tuple(each for each in getattr(case.recipe, side) if each is not step)
            smaller = build(replace(case.recipe, **{side: steps}))
            if smaller is None:
                continue
            if smaller.applied == case.applied or fails(smaller):
                case = smaller
    return case


def _cut(case: Case, cuts: Callable[[Case], Iterator[Case]], fails: Fails, left: list[int]) -> Case:
    for smaller in cuts(case):
        if left[0] <= 0:
            break
        size = len(smaller.reference.nodes) + len(smaller.candidate.nodes)
        if not 2 < size < len(case.reference.nodes) + len(case.candidate.nodes):
            continue
        if (case.planted is None or _shows(smaller)) and fails(smaller):
            return _cut(smaller, cuts, fails, left)
    return case


def _shows(case: Case) -> bool:
    return not _same(run(case.clean), run(case.candidate), FAULT_SHOWS)


def _twins(case: Case) -> list[tuple[str, str]]:
    """Tensors of both sides that are equal, element by element, in the reference's order."""
    found = []
    known = {name: array for name, array in case.clean.values.items() if name in case.candidate.values}
    for node in case.reference.ordered():
        for name in node.outputs:
            value = case.reference.values.get(name)
            if value is not None and value.dtype == np.float32 and value.size > 1:
                found += [
                    (name, other)
                    for other, array in known.items()
                    if other not in case.clean.feeds and _equal(value, array)
                ]
    return found


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool(np.allclose(one, other, rtol=1e-4, atol=1e-5))


def _outputs(case: Case) -> Iterator[Case]:
    """Everything behind one pair of equal tensors is cut off."""
    for one, other in _twins(case):
        if {one, other} & {*case.reference.outputs, *case.candidate.outputs} and len(case.reference.outputs) == 1:
            continue
        graphs = (case.reference, case.candidate, case.clean)
        yield from _with(case, [_ending(graph, name) for graph, name in zip(graphs, (one, other, other), strict=True)])


def _inputs(case: Case) -> Iterator[Case]:
    """Everything that only one pair of equal tensors needs becomes an input."""
    for one, other in reversed(_twins(case)):
        value, name = case.reference.values[one], f"cut_{len(case.reference.feeds)}"
        if one in case.reference.outputs:
            continue
        graphs = (case.reference, case.candidate, case.clean)
        yield from _with(
            case, [_fed(graph, old, name, value) for graph, old in zip(graphs, (one, other, other), strict=True)]
        )


def _with(case: Case, graphs: list[Graph]) -> Iterator[Case]:
    """The case with these graphs; nothing where a cut has made one that cannot run."""
    reference, candidate, clean = graphs
    used = {name for graph in graphs for node in graph.nodes for name in node.inputs}
    for graph in graphs:
        graph.feeds = {name: array for name, array in graph.feeds.items() if name in used}
        graph.changed()
    try:
        wrong = {name: array for name, array in case.wrong.items() if name in clean.values}
    except Exception:  # noqa: BLE001 - onnxruntime refuses it
        return
    yield replace(case, reference=reference, candidate=candidate, clean=clean, wrong=wrong)


def _ending(graph: Graph, name: str) -> Graph:
    made = graph.copy()
    maker = made.producer(name)
    assert maker is not None
    public = made.fresh("cut_output").rpartition("_")[0]
    maker.outputs = [public if each == name else each for each in maker.outputs]
    for reader in made.nodes:
        reader.inputs = [public if each == name else each for each in reader.inputs]
    made.outputs = [public]
    made.prune()
    return made


def _fed(graph: Graph, old: str, name: str, value: Array) -> Graph:
    made = graph.copy()
    maker = made.producer(old)
    assert maker is not None
    maker.outputs = [made.fresh("unused") if each == old else each for each in maker.outputs]
    for reader in made.nodes:
        reader.inputs = [name if each == old else each for each in reader.inputs]
    made.feeds[name] = value
    made.prune()
    return made
