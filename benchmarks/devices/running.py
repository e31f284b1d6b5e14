"""Cases of the fault bench, each compared live and as dumps of simulated devices."""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.devices.device import GROUPS, Device, drawn
from benchmarks.devices.dumping import Dumped, dump
from benchmarks.faults.bench import build_case, forms_folder
from benchmarks.faults.built import Built
from benchmarks.faults.cases import Case, all_cases
from benchmarks.faults.forms import FORMS
from benchmarks.faults.process import run_apart
from benchmarks.faults.scoring import judge
from benchmarks.faults.truth import Truth

TIMEOUT = 240.0


def chosen(seed: int, count: int, only: Sequence[str] = (), groups: Sequence[str] = GROUPS) -> list[Case]:
    """Cases whose fault, if any, lies in a node; ``count`` of them as the seed draws."""
    able = [case for case in all_cases(0) if case.group in groups]
    if only:
        return [case for case in able if case.name in only]
    order = np.random.default_rng([seed, 5]).permutation(len(able))
    return [able[int(i)] for i in order[:count]]


def run(cases: Sequence[Case], work: Path, seed: int, devices: int) -> Iterator[dict[str, Any]]:
    """A record for each case: what was found live, and by each dump."""
    for case in cases:
        folder = work / "cases" / case.name
        if not (folder / "case.json").exists():
            made = run_apart(build_case, case, work, log=folder / "build.log", timeout=TIMEOUT)
            if made.status != "ok" or made.value is None:
                yield {"name": case.name, "status": "not built", "error": str(made.value)}
                continue
        rng = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
        built = Built.read(folder)
        may_guess = built.reference.form == built.candidate.form and case.group != "module"
        may_err = _unspoilt(built, work) is not None
        drawn_ones = [drawn(rng, may_guess=may_guess, may_err=may_err) for _ in range(devices)]
        record = {"name": case.name, "group": case.group, "form": built.candidate.form, "status": "scored"}
        answers = []
        for device in [None, Device(), *drawn_ones]:
            number = len(answers)
            answer = run_apart(compare, folder, device, [seed, number], log=folder / "device.log", timeout=TIMEOUT)
            found = answer.value if answer.status == "ok" else {"error": str(answer.value)[-2000:]}
            answers.append({"device": device and device.as_dict(), **found})
        yield record | {"answers": answers}


def _unspoilt(built: Built, work: Path) -> str | None:
    """The candidate's form as it was before a fault was planted in the file."""
    from benchmarks.faults.forms import build_form

    if built.case.group not in {"fault", "double"} or not str(built.candidate.file).endswith("candidate.onnx"):
        return None
    if built.candidate.form not in FORMS:
        return None
    return str(build_form(built.architecture, built.candidate.form, forms_folder(work), built.case.seed))


def compare(folder: Path, device: Device | None, seed: list[int]) -> dict[str, Any]:
    """In the child: the tool's answer, and its score; ``device`` None: the model itself."""
    import aligner

    built = Built.read(folder)
    reference, candidate = built.reference.open(), built.candidate.open()
    start = time.perf_counter()
    if device is None:
        return _judged(built.truth, aligner.compare(reference, candidate, built.feeds), start)
    graph, tensors = _run(reference, candidate, built)
    where = folder / "dump"
    shutil.rmtree(where, ignore_errors=True)
    dumped = dump(where, graph, tensors, device, np.random.default_rng(seed))
    model = _unspoilt(built, folder.parents[1]) if device.right else built.candidate.open()
    told = {"dump_of": model} if device.told else {}
    result = aligner.compare(reference, dumped.path, built.feeds, **told)
    return _judged(seen(built.truth, graph, dumped), result, start)


def _judged(truth: Truth, result: Any, start: float) -> dict[str, Any]:
    found = judge(truth, result, {})
    keys = ("verdict", "reason", "introduced", "causes", "exact", "near", "false_alarm", "cause_first", "coverage")
    more = {"wanted": truth.exact[:6], "notes": result.comparison.candidate.notes[:6]}
    return {key: found[key] for key in keys} | more | {"seconds": round(time.perf_counter() - start, 2)}


def _run(reference: Any, candidate: Any, built: Built) -> tuple[Any, dict[str, np.ndarray]]:
    """The graph and tensors of the candidate, fed what a comparison of the two would feed it."""
    from aligner.adapters.base import OpenOptions
    from aligner.api.given_inputs import input_items
    from aligner.execution.opening import open_side, side_info
    from aligner.inputs import prepare_feeds

    sides = [
        open_side(role, model, OpenOptions(), 0) for role, model in (("reference", reference), ("candidate", candidate))
    ]
    fed = prepare_feeds(input_items(built.feeds), *(side_info(side) for side in sides))
    sides[1].feeds = fed.candidate or {}
    graph = sides[1].graph
    tensors: dict[str, np.ndarray] = {}
    for tensor in sides[1].run(None):
        if tensor.value in graph.values and not tensor.occurrence and tensor.array.dtype.kind in "fiub":
            tensors[tensor.value] = np.array(tensor.array)
    for name, array in sides[1].feeds.items():
        tensors.setdefault(name, np.asarray(array))
    for side in sides:
        side.close()
    return graph, {value: tensors[value] for value in tensors if value in graph.values}


def seen(truth: Truth, graph: Any, dumped: Dumped) -> Truth:
    """The truth in a dump: where the guilty tensor was not dumped, the first ones after it that were are right."""
    if truth.blame != "node":
        return truth
    return replace(
        truth,
        exact=(*truth.exact, *_shown(_guilty(truth, graph), graph, dumped)),
        second=(*truth.second, *_shown(_named(truth.second, graph), graph, dumped)) if truth.second else (),
    )


def _named(names: Sequence[str], graph: Any) -> list[str]:
    wanted = set(names)
    return [value.id for value in graph.values.values() if wanted & {value.id, value.name, *value.aliases}]


def _guilty(truth: Truth, graph: Any) -> list[str]:
    found = _named(truth.exact, graph)
    for wanted in truth.scopes:
        path, _, kind = wanted.partition(":")
        found += [
            value
            for node in graph.nodes
            if node.scope == path and (not kind or node.kind == kind)
            for value in node.outputs
        ]
    return found


def _shown(guilty: Sequence[str], graph: Any, dumped: Dumped) -> list[str]:
    """The nearest recorded values behind those that were not recorded, by id and name."""
    shown: set[str] = set()
    left, met = [value for value in guilty if value not in dumped.values], set(guilty)
    while left:
        for node in graph.readers(left.pop()):
            for value in node.outputs:
                if value in met or value not in graph.values:
                    continue
                met.add(value)
                (shown.add if value in dumped.values else left.append)(value)
    return [name for value in sorted(shown) for name in (value, graph.values[value].name)]
