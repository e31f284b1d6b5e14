"""Pairs as the converters' bench draws them, with what it never draws: several faults at once, inner tensors that are
outputs too, choices (integers, booleans) as outputs, one weight of two layers, faults where an output is made, effects
near the contract, and candidates in half precision or in eight bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.converters.blind.conversions import _half, _static
from benchmarks.converters.case import Case, recipe, rewritten
from benchmarks.converters.faults import FAULTS, Planted
from benchmarks.converters.graph import Array, Graph, from_proto, run, to_proto
from benchmarks.converters.networks import NETWORKS
from benchmarks.converters.properties import violations as converted_violations

_EXACT = ("several", "inner outputs", "choices", "shared weight", "at an output", "small")
_COARSE = {"half": _half, "eight bits": _static}
KINDS = (*_EXACT, *_COARSE)
ABOVE = 10.0
"""A fault counts in a coarse candidate if it moves an output so many times as far as its precision does."""
PLAIN = 0.05
"""And by this share of the output's peak."""


@dataclass(slots=True)
class Mixture:
    """A case, what is particular about it, and whether its candidate is in fewer bits."""

    kind: str
    case: Case

    @property
    def coarse(self) -> bool:
        return self.kind in _COARSE


def mixture(seed: int, *, faulty: bool) -> Mixture | None:
    """The case of a seed; None where its fault finds no place or does not show."""
    rng = np.random.default_rng([seed, 93])
    kind = KINDS[int(rng.integers(len(KINDS)))]
    drawn = recipe(seed, faulty=faulty)
    base = NETWORKS[drawn.network](np.random.default_rng([seed, 5]))
    if not _prepared(base, kind, rng):
        return None
    base.origins = {name: name for name in base.values}
    reference, left = rewritten(base, drawn.reference)
    clean, right = rewritten(base, drawn.candidate)
    case = Case(drawn, reference, clean.copy(), clean, applied=[kind, *left, "|", *right])
    if faulty and not _faulted(case, kind, rng):
        return None
    if kind in _COARSE and not _coarsened(case, kind, seed):
        return None
    return Mixture(kind, case)


def _prepared(base: Graph, kind: str, rng: np.random.Generator) -> bool:
    """Whether the network can be made one of this kind."""
    inner = [node.output for node in base.ordered() if base.floating(node.output) and base.values[node.output].size > 3]
    inner = [name for name in inner if name not in base.outputs]
    if kind == "inner outputs" and inner:
        base.outputs += [str(name) for name in rng.choice(inner, min(2, len(inner)), replace=False)]
    if kind == "choices":
        name = str(rng.choice([*base.outputs, *inner[-4:]]))
        if not base.floating(name) or not base.rank(name):
            return False
        made = [_largest, _above, _places][int(rng.integers(3))](base, name)
        base.outputs = [made] if rng.random() < 0.5 else [*base.outputs, made]
        base.prune()
    base.changed()
    return kind != "shared weight" or _shared(base, rng)


def _largest(graph: Graph, name: str) -> str:
    return graph.add("ArgMax", name, axis=-1, keepdims=0)


def _above(graph: Graph, name: str) -> str:
    return graph.add("Greater", name, graph.keep(np.float32(np.median(graph.values[name]))))


def _places(graph: Graph, name: str) -> str:
    count = graph.keep(np.array([min(3, graph.shape(name)[-1])], np.int64))
    return graph.add_all("TopK", name, count, count=2, axis=-1)[1]


def _shared(base: Graph, rng: np.random.Generator) -> bool:
    """One stored weight read by two nodes that had one each."""
    read = [n.inputs[1] for n in base.ordered() if n.op in {"Conv", "MatMul", "Gemm"} and n.inputs[1] in base.constants]
    twins = [
        (one, other)
        for place, one in enumerate(read)
        for other in read[:place]
        if one != other and base.shape(one) == base.shape(other)
    ]
    if not twins:
        return False
    one, other = twins[int(rng.integers(len(twins)))]
    base.redirect(one, other)
    base.prune()
    base.changed()
    return True


def _faulted(case: Case, kind: str, rng: np.random.Generator) -> bool:
    count = int(rng.integers(2, 4)) if kind == "several" else 1
    faults: list[Planted] = []
    for _ in range(12):
        if len(faults) == count:
            break
        before = case.candidate.copy()
        planted = (_small if kind == "small" else _shared_wrong if kind == "shared weight" else _any)(before, rng)
        if planted is None or (kind == "at an output" and not _makes_output(before, planted)):
            continue
        before.prune()
        before.changed()
        if not _moved(case.candidate, before, _least(kind)):
            continue
        case.candidate = before
        faults.append(planted)
    if not faults or not _moved(case.clean, case.candidate, _least(kind)):
        return False
    nodes = {name for one in faults for name in one.nodes}
    tensors = tuple(name for one in faults for name in one.tensors)
    case.candidate.blamed = nodes
    case.candidate, applied = rewritten(case.candidate, case.recipe.after)
    case.planted = Planted(tuple(sorted(case.candidate.blamed)), tensors, "; ".join(one.detail for one in faults))
    case.wrong = {name: case.clean.values[name] for name in tensors if name in case.clean.values}
    case.applied = [*case.applied, "| then", *applied]
    return True


def _least(kind: str) -> float:
    return 2e-4 if kind == "small" else 1e-3


def _any(graph: Graph, rng: np.random.Generator) -> Planted | None:
    try:
        return FAULTS[str(rng.choice([*FAULTS]))](graph, rng)
    except Exception:  # noqa: BLE001 - a fault that makes no valid model is no case
        return None


def _small(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """A weight off by a few thousandths."""
    names = [n for n in graph.ordered() if len(n.inputs) > 1 and n.inputs[1] in graph.constants]
    names = [n for n in names if n.op in {"Conv", "MatMul", "Gemm", "Mul", "Add"} and graph.floating(n.inputs[1])]
    if not names:
        return None
    node = names[int(rng.integers(len(names)))]
    weight = graph.constants[node.inputs[1]]
    share = float(rng.choice([1e-3, 3e-3]))
    node.inputs[1] = graph.keep(weight * (1 + share * rng.standard_normal(weight.shape)))
    return Planted((node.name,), tuple(node.outputs), f"{node.op} {node.name}: a weight off by {share:.1%}")


def _shared_wrong(graph: Graph, rng: np.random.Generator) -> Planted | None:
    """The weight that two nodes read is another for both."""
    rows: dict[str, list[str]] = {}
    for node in graph.ordered():
        for name in node.inputs[1:2]:
            if node.op in {"Conv", "MatMul", "Gemm"} and name in graph.constants:
                rows.setdefault(name, []).append(node.name)
    twice = [name for name, nodes in rows.items() if len(nodes) > 1]
    if not twice:
        return None
    name = str(rng.choice(twice))
    weight = graph.constants[name]
    graph.constants[name] = (weight + weight.std() * 0.1 * rng.standard_normal(weight.shape)).astype(np.float32)
    made = tuple(node.output for node in graph.ordered() if node.name in rows[name])
    return Planted(tuple(rows[name]), made, f"{name} with noise, read by {', '.join(rows[name])}")


def _makes_output(graph: Graph, planted: Planted) -> bool:
    makers = {maker.name for name in graph.outputs if (maker := graph.producer(name))}
    return bool(makers & set(planted.nodes))


def _moved(wanted: Graph, got: Graph, least: float) -> bool:
    try:
        return _distance(run(wanted), run(got)) > least
    except Exception:  # noqa: BLE001 - a fault that makes no valid model is no case
        return False


def _distance(wanted: dict[str, Array], got: dict[str, Array]) -> float:
    """The largest difference in parts of the peak; 0 where shapes or what is finite differ: no case of ours."""
    worst = 0.0
    for name, array in wanted.items():
        one, other = array.astype(np.float64), got[name].astype(np.float64)
        if one.shape != other.shape or not (np.isfinite(one) & np.isfinite(other)).all():
            return 0.0
        worst = max(worst, float(np.abs(one - other).max(initial=0) / max(np.abs(one).max(initial=0), 1e-30)))
    return worst


def _coarsened(case: Case, kind: str, seed: int) -> bool:
    """The candidate in fewer bits; whether the fault is still more than they are."""
    try:
        made, plain = (_through(graph, _COARSE[kind], seed) for graph in (case.candidate, case.clean))
        noise, wrong = _distance(run(case.reference), run(plain)), _distance(run(case.reference), run(made))
    except Exception:  # noqa: BLE001 - a tool that refuses a model makes no pair
        return False
    if case.planted is not None and not (wrong > ABOVE * noise and wrong > PLAIN):
        return False
    case.candidate = made
    return noise < PLAIN


def _through(graph: Graph, tool: Callable[..., Path], seed: int) -> Graph:
    import contextlib
    import io
    import logging

    import onnx

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        path, target = Path(name) / "plain.onnx", Path(name) / "coarse.onnx"
        onnx.save(to_proto(graph), path)
        tool(path, target, graph.feeds, np.random.default_rng([seed, 94]))
        return from_proto(onnx.load(target), graph.feeds)


def violations(made: Mixture) -> list[str]:
    """The properties that a comparison breaks; in fewer bits culprits bring outputs to no floor of float32."""
    from benchmarks.converters.scoring import compare

    with tempfile.TemporaryDirectory(prefix="mixture") as folder:
        report = compare(made.case, Path(folder))
    found = converted_violations(made.case, report)
    if made.coarse:
        found = [words for words in found if not words.startswith("insufficient")]
    return [f"{words}; {report['rule']}" for words in found]
