"""A case from a seed: a network, rewritten on either side, with one fault or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.converters.faults import FAULTS, Planted
from benchmarks.converters.faults import RARER as RARER_FAULTS
from benchmarks.converters.graph import Array, Graph, run
from benchmarks.converters.networks import NETWORKS
from benchmarks.converters.networks.exported import EXPORTS
from benchmarks.converters.rewrites import RARER, REWRITES, TOOLS, apply
from benchmarks.converters.rewrites.tools import through_tool

MEANING_KEPT = 1e-5
"""A rewrite counts if no output moves by more than this share of the output's peak."""
FAULT_SHOWS = 1e-3
"""A fault counts if it moves some output by more than this share of its peak."""
LAST = {"reorder": 0.4, "rename": 0.8, "share_constants": 0.4}
"""Done at the end, each with its share: most converters keep no inner name."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rewrite by name, with a generator of its own, so that others can be left out."""

    name: str
    seed: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a case is made from."""

    seed: int
    network: str
    reference: tuple[Step, ...] = ()
    candidate: tuple[Step, ...] = ()
    fault: Step | None = None
    torch: str = ""
    """The form of PyTorch that is the reference in place of the export: eager, trace."""
    after: tuple[Step, ...] = ()
    """Rewrites of the candidate after the fault was planted."""


@dataclass(slots=True)
class Case:
    recipe: Recipe
    reference: Graph
    candidate: Graph
    clean: Graph
    """The candidate before the fault."""
    planted: Planted | None = None
    wrong: dict[str, Array] = field(default_factory=dict)
    """What the guilty nodes would have made, by name in ``clean``."""
    readers: frozenset[str] = frozenset()
    """Of a node that was lost: what should have read it in ``candidate``."""
    applied: Sequence[str] = ()


def case(
    seed: int,
    *,
    faulty: bool,
    networks: Sequence[str] = (),
    torch: str = "",
    planted: Sequence[str] = (),
    rarer: bool = False,
) -> Case | None:
    """The case of a seed; a fault that finds no place gives way to another, a few times; ``planted``: of these.

    ``rarer``: with a few further rewrites of the candidate, and where nothing else is asked for with rarer faults.
    """
    planted = planted or (tuple(RARER_FAULTS) if rarer else ())
    for attempt in range(8 if faulty else 1):
        drawn = recipe(seed, faulty=faulty, networks=networks, attempt=attempt, planted=planted)
        drawn = replace(drawn, candidate=_with_rarer(seed, drawn.candidate)) if rarer else drawn
        made = build(replace(drawn, torch=torch, reference=()) if torch else drawn)
        if made is not None:
            return made
    return None


def recipe(
    seed: int, *, faulty: bool, networks: Sequence[str] = (), attempt: int = 0, planted: Sequence[str] = ()
) -> Recipe:
    rng = np.random.default_rng([seed, 77])
    names = [*(networks or NETWORKS)]
    network = names[int(rng.integers(len(names)))]
    reference = _steps(rng, int(rng.integers(1, 5)), tools=0.15) if rng.random() < 0.5 else ()
    candidate = _steps(rng, int(rng.integers(1, 11)), tools=0.35)
    made = Recipe(seed, network, reference, candidate)
    if not faulty:
        return made
    rng = np.random.default_rng([seed, 78, attempt])
    after = _steps(rng, int(rng.integers(0, 4)), tools=0) if rng.random() < 0.4 else ()
    kinds = [*(planted or FAULTS)]
    kind = kinds[int(rng.integers(len(kinds)))]
    return replace(made, fault=Step(kind, int(rng.integers(2**31))), after=after)


def _steps(rng: np.random.Generator, count: int, *, tools: float) -> tuple[Step, ...]:
    names = [name for name in REWRITES if name not in LAST]
    drawn = [names[int(rng.integers(len(names)))] for _ in range(2 * count)]
    if rng.random() < tools:
        drawn.insert(int(rng.integers(len(drawn) + 1)), [*TOOLS][int(rng.integers(len(TOOLS)))])
    drawn += [name for name, share in LAST.items() if rng.random() < share]
    return tuple(Step(name, int(rng.integers(2**31))) for name in drawn)


def _with_rarer(seed: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Steps with rarer ones among them, before what is done at the end."""
    rng, made = np.random.default_rng([seed, 79]), list(steps)
    end = next((place for place, step in enumerate(made) if step.name in LAST), len(made))
    for _ in range(4 * int(rng.integers(1, 4))):  # most find no place
        name = [*RARER][int(rng.integers(len(RARER)))]
        made.insert(int(rng.integers(end + 1)), Step(name, int(rng.integers(2**31))))
        end += 1
    return tuple(made)


def build(made: Recipe) -> Case | None:
    """The case of a recipe; None if its fault finds no place or does not show."""
    base = (NETWORKS | EXPORTS)[made.network](np.random.default_rng([made.seed, 5]))
    base.origins = {name: name for name in base.values}
    reference, left = rewritten(base, made.reference)
    clean, right = rewritten(base, made.candidate)
    case = Case(made, reference, clean.copy(), clean, applied=[*left, "|", *right])
    if made.fault is None:
        return case
    return _planted(case, made.fault) if _finite(run(clean)) else None


def rewritten(graph: Graph, steps: Sequence[Step]) -> tuple[Graph, list[str]]:
    """Apply what applies; a rewrite that moves an output too far is left out, as rounding and no rewrite."""
    graph, applied = graph.copy(), []
    for step in steps:
        rng = np.random.default_rng(step.seed)
        if step.name in TOOLS:
            made = through_tool(graph, step.name, rng) if not graph.blamed else None
        else:
            made = graph.copy()
            if not apply(made, step.name, rng):
                continue
        if made is not None and _kept(graph, made):
            if step.name in TOOLS:
                made.origins = {name: graph.origins[name] for name in made.values if name in graph.origins}
            graph = made
            applied.append(step.name)
    return graph, applied


def _kept(graph: Graph, made: Graph) -> bool:
    """Whether the rewritten graph runs and computes the same."""
    try:
        return _same(run(graph), run(made), MEANING_KEPT)
    except Exception:  # noqa: BLE001 - onnxruntime refuses some spellings (dilation with SAME_UPPER)
        return False


def _planted(case: Case, fault: Step) -> Case | None:
    """Try the fault here and there until it shows."""
    rng = np.random.default_rng(fault.seed)
    for _ in range(6):
        candidate = case.clean.copy()
        try:
            planted = (FAULTS | RARER_FAULTS)[fault.name](candidate, rng)
            if planted is None:
                return None
            candidate.prune()
            candidate.changed()
            got = run(candidate)
        except Exception:  # noqa: BLE001 - a fault that makes no valid model is no case
            continue
        wanted = run(case.clean)
        shapes = all(got[name].shape == wanted[name].shape for name in wanted)
        if shapes and not _same(wanted, got, FAULT_SHOWS):
            readers = {node.name for name in planted.tensors for node in case.clean.readers(name)}
            candidate.blamed = set(planted.nodes) or readers
            case.candidate, applied = rewritten(candidate, case.recipe.after)
            nodes = tuple(sorted(case.candidate.blamed))
            case.readers = frozenset() if planted.nodes else frozenset(nodes)
            case.planted = replace(planted, nodes=nodes if planted.nodes else ())
            case.wrong = {name: case.clean.values[name] for name in planted.tensors}
            case.applied = [*case.applied, "| then", *applied]
            return case
    return None


def _finite(values: Mapping[str, Array]) -> bool:
    return all(np.isfinite(array).all() for array in values.values())


def _same(wanted: Mapping[str, Array], got: Mapping[str, Array], within: float) -> bool:
    return all(_apart(wanted[name], got[name]) <= within for name in wanted)


def _apart(wanted: Array, got: Array) -> float:
    """The largest difference in parts of the peak; infinite where one is not a number."""
    if wanted.shape != got.shape:
        return float("inf")
    wide = wanted.astype(np.float64)
    if not np.array_equal(np.isfinite(wide), np.isfinite(got)):
        return float("inf")
    seen = np.isfinite(wide)
    if not seen.any():
        return 0.0
    return float(np.abs(got.astype(np.float64)[seen] - wide[seen]).max() / max(np.abs(wide[seen]).max(), 1e-30))
