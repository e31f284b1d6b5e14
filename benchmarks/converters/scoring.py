"""A comparison's answer, held against the truth of its case."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.captured import captured
from benchmarks.converters.case import Case
from benchmarks.converters.graph import Array, Graph, to_proto
from benchmarks.converters.networks.exported import before_export
from benchmarks.converters.properties import violations

SAME = 1e-3
"""Two tensors hold the same numbers, in whatever order, up to this share of the peak (RMSE)."""
MASKED = 5e3
"""Numbers as large as that only mask others; how low a mask reaches is the writer's choice (−10000, −1e9, −∞)."""
NOT_MADE = "not made"
"""The verdict of a case whose rewrites fail: the bench's own mistake, which says nothing of the engine."""
MOVES = frozenset(
    "Transpose Reshape Flatten Squeeze Unsqueeze Identity Dropout Cast Expand Slice Gather Split Concat Pad".split()
)


@dataclass(slots=True)
class Outcome:
    """``right`` of ``pairs`` hold the same numbers; ``answered`` of the candidate's ``pairable`` tensors are paired.

    ``pairable`` are those that compute numbers which some tensor of the reference holds, in whatever order; where the
    reference's are not at hand (``by_report``) all but those inside of what the reference computes in one node. The
    report counts these ``virtual`` ones apart, in parts of a thousand.
    """

    seed: int
    network: str
    fault: str | None
    detail: str
    verdict: str
    exact: bool | None = None
    inside: bool | None = None
    """The guilty node is in the region that the first divergence stands for."""
    near: bool | None = None
    first: tuple[str, str] | None = None
    pairs: int = 0
    right: int = 0
    pairable: int = 0
    answered: int = 0
    virtual: int | None = None
    causes: tuple[str, ...] = ()
    violations: list[str] = field(default_factory=list)
    wrong_pairs: list[str] = field(default_factory=list)
    seconds: float = 0.0
    rule: str | None = None

    @property
    def passed(self) -> bool:
        return not self.violations and self.exact is not False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def write(case: Case, folder: Path) -> tuple[Path, Path, Path]:
    """The case as files: reference, candidate, inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "ref.onnx", folder / "cand.onnx", folder / "in.npz"
    for graph, path in zip((case.reference, case.candidate), paths[:2], strict=True):
        path.write_bytes(to_proto(graph).SerializeToString())
    np.savez(paths[2], **case.reference.feeds)
    return paths


def compare(case: Case, folder: Path) -> dict[str, Any]:
    """The report of one comparison, as JSON."""
    import aligner

    written, candidate, _ = write(case, folder)
    reference = _module(case) if case.recipe.torch else str(written)
    result = aligner.compare(reference, str(candidate), dict(case.reference.feeds))
    report: dict[str, Any] = result.to_json()
    return report


def _module(case: Case) -> Any:
    """The module that the reference is the export of, in the recipe's form."""
    return before_export(case.recipe.network, np.random.default_rng([case.recipe.seed, 5]), case.recipe.torch)


def judge(case: Case, *, twice: bool = False) -> Outcome:
    """Run a case and score it; a crash is a violation."""
    recipe, began = case.recipe, time.perf_counter()
    planted = case.planted
    made = Outcome(
        recipe.seed, recipe.network, recipe.fault and recipe.fault.name, planted.detail if planted else "", "crashed"
    )
    with tempfile.TemporaryDirectory(prefix="converters") as folder:
        try:
            report = compare(case, Path(folder))
            again = compare(case, Path(folder)) if twice else None
        except Exception as error:  # noqa: BLE001 - whatever is raised on a valid pair is a finding
            made.violations.append(f"refused: {type(error).__name__}: {str(error)[:300]}")
            return made
    made.seconds = time.perf_counter() - began
    made.verdict, made.rule = report["verdict"], report.get("rule")
    made.causes = tuple(cause["id"] for cause in report["causes"][:4])
    made.violations = violations(case, report, again)
    if planted is None:
        _pairing(case, report, made)
    else:
        _location(case, report, made)
    return made


def same_numbers(one: Array, other: Array) -> bool:
    """Whether two tensors are the same one, up to the order of its elements; what is masked counts as masked."""
    if one.size != other.size or one.dtype.kind != "f" or other.dtype.kind != "f":
        return False
    a, b = (np.sort(array[np.abs(array) < MASKED].astype(np.float64)) for array in (one, other))
    if a.size != b.size:
        return False
    return not a.size or bool(np.sqrt(np.mean((a - b) ** 2)) <= SAME * max(np.abs(a).max(), 1e-30))


def _pairing(case: Case, report: Mapping[str, Any], made: Outcome) -> None:
    """Held against the reference's own numbers: those that a module shows, or those of a file."""
    right, own = case.candidate.values, case.reference
    left = {**_reference_tensors(case)[0], **own.feeds}
    computed = list(left) if case.recipe.torch else _computing(own)
    if case.recipe.torch:
        made.virtual = round(1000 * (report["coverage"]["virtual_candidate"] or 0))
    paired = set()
    for pair in report["pairs"]:
        one, other = pair["reference"]["name"], pair["candidate"]["name"]
        if one not in left or other not in right or left[one].dtype.kind != "f":
            continue
        made.pairs += 1
        paired.add(other)
        origins = None if case.recipe.torch else own.origins.get(one), case.candidate.origins.get(other)
        if same_numbers(left[one], right[other]) or (origins[0] is not None and origins[0] == origins[1]):
            made.right += 1
        else:
            made.wrong_pairs.append(f"{one} ↔ {other} ({pair['rule']})")
    for name in _computing(case.candidate):
        if any(same_numbers(left[each], right[name]) for each in computed):
            made.pairable += 1
            made.answered += name in paired


def by_report(report: Mapping[str, Any], made: Outcome) -> None:
    """The candidate's tensors that are answered, by the report's own shares, in parts of a thousand."""
    coverage = report["coverage"]
    made.virtual = round(1000 * (coverage["virtual_candidate"] or 0))
    made.pairable, made.answered = 1000 - made.virtual, round(1000 * (coverage["computing_candidate"] or 0))


def _computing(graph: Graph) -> list[str]:
    """What nodes compute, and do not only move, of more than a few numbers."""
    live = _depends(graph)
    rows = [name for node in graph.nodes if node.op not in MOVES for name in node.outputs]
    return [
        name for name in rows if name in live and graph.values[name].size > 3 and graph.values[name].dtype == np.float32
    ]


def _depends(graph: Graph) -> set[str]:
    live = set(graph.feeds)
    for node in graph.ordered():
        if live & set(node.inputs) and node.op != "Shape":
            live.update(node.outputs)
    return live


def _location(case: Case, report: Mapping[str, Any], made: Outcome) -> None:
    planted, first = case.planted, report["first_divergence"]
    made.exact = made.inside = made.near = False
    if planted is None or first is None:
        return
    made.first = (first["reference"]["name"], first["candidate"]["name"])
    guilty = set(planted.nodes)
    left, maker_of = _reference_tensors(case)
    answers = reference_truth(case, left)
    node = first["candidate"]["node"]
    by_reference = first["reference"]["name"] in answers
    makers = {maker_of[name] for name in answers if name in maker_of}
    inner = first.get("within") or {}
    made.exact = node in guilty or by_reference or inner.get("node") in guilty or inner.get("reference_node") in makers
    made.exact = made.exact or _lost(case, node, inner)
    made.inside = made.exact or bool(
        guilty & set(first.get("candidate_nodes") or ()) or makers & set(first.get("reference_nodes") or ())
    )
    around = _around(case.candidate, guilty) | _around(case.reference, makers)
    made.near = made.inside or node in around or first["reference"]["node"] in around


def _reference_tensors(case: Case) -> tuple[Mapping[str, Array], dict[str, str]]:
    """What the reference that was compared computes, but for its inputs, and the node that makes each.

    A module's tensors are its own: what its export spells out it may compute in one call.
    """
    if case.recipe.torch:
        return captured(_module(case), case.reference.feeds)
    feeds = case.reference.feeds
    left = {name: array for name, array in case.reference.values.items() if name not in feeds}
    return left, {name: maker.name for name in left if (maker := case.reference.producer(name))}


def _lost(case: Case, node: str | None, inner: Mapping[str, Any]) -> bool:
    """Whether a lost node is told by the node that should have read it.

    Where the reference holds it otherwise, or where the candidate still makes its tensor for others, so that nothing
    but what this one reads is wrong. Of moves in a row any may be told: it may stand before, between or behind them.
    """
    rows = {each.name: each for each in case.candidate.nodes}
    readers, waiting = set(case.readers), [rows[name] for name in case.readers]
    while waiting:
        each = waiting.pop()
        near = [maker for name in each.inputs if (maker := case.candidate.producer(name)) and maker.op in MOVES]
        near += case.candidate.readers(each.output) if each.op in MOVES else []
        waiting += [one for one in near if one.name not in readers]
        readers.update(one.name for one in near)
    held = case.candidate.values.values()
    if node in readers and any(same_numbers(array, value) for value in case.wrong.values() for array in held):
        return True
    return inner.get("primitive") == "missing" and inner.get("node") in readers


def reference_truth(case: Case, left: Mapping[str, Array]) -> set[str]:
    """The reference's tensors that answer what the guilty node should have made.

    Where the reference has none (it computes them inside one node), those that answer the next ones downstream.
    """
    if not case.wrong:
        return set()
    waiting, seen = deque(case.wrong), set(case.wrong)
    while waiting:
        for _ in range(len(waiting)):
            name = waiting.popleft()
            value = case.clean.values[name]
            found = {each for each, array in left.items() if same_numbers(array, value)}
            if found:
                return found
            for reader in case.clean.readers(name):
                fresh = [each for each in reader.outputs if each and each not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
    return set()


def _around(graph: Graph, names: Iterable[str], steps: int = 2) -> set[str]:
    """Nodes at most so many edges away."""
    rows = {node.name: node for node in graph.nodes}
    found = {name for name in names if name in rows}
    for _ in range(steps):
        edge = [rows[name] for name in found]
        for node in edge:
            found.update(maker.name for name in node.inputs if (maker := graph.producer(name)))
            found.update(reader.name for name in node.outputs for reader in graph.readers(name))
    return found
