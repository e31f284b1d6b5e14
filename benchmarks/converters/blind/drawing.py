"""A pair from a seed: a network, a form of it as reference, tools on another, one fault or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.converters.blind.conversions import FEWER_BITS, LITE, TOOLS, through
from benchmarks.converters.blind.exporting import REFERENCES, SOURCES, TORCH, Inputs, named, quiet
from benchmarks.converters.blind.module_faults import plant
from benchmarks.converters.faults import FAULTS
from benchmarks.converters.graph import Array, from_proto, run, to_proto

KEPT = 1e-4
"""A conversion counts as clean if no output moves by more than this share of its peak."""
SHOWS = 1e-3
"""A fault counts if it moves some output by more than this share of its peak."""
PAST_FEWER_BITS = 4
"""With lower precision a fault has to move an output by so many times what that does."""
ATTEMPTS = 6
BY_DYNAMO = 0.25
"""The share of sources by the exporter that takes ten times as long."""


@dataclass(slots=True)
class Blind:
    """``wrong``: what guilty nodes would have made; ``made``: what they make instead."""

    seed: int
    network: str
    reference: Any
    candidate: Any
    inputs: list[Array]
    steps: list[str]
    fault: str | None = None
    detail: str = ""
    guilty: frozenset[str] = frozenset()
    """Names of nodes in the candidate, as far as the conversion keeps them."""
    wrong: list[Array] = field(default_factory=list)
    made: list[Array] = field(default_factory=list)
    later: list[list[Array]] = field(default_factory=list)
    """What is computed from ``wrong``, a step further downstream each."""
    then: list[list[Array]] = field(default_factory=list)
    """The same of ``made``: a tool may have folded a wrong constant into what reads it."""
    precise: bool = True


def draw(
    seed: int,
    folder: Path,
    networks: Mapping[str, Any],
    *,
    kinds: Sequence[bool] = (False, True),
    tools: Sequence[str] = (),
) -> Iterator[Blind]:
    """The pairs of a seed, clean and with a fault; none where some tool makes nothing of it, or no fault fits."""
    rng = np.random.default_rng([seed, 91])
    name = [*networks][int(rng.integers(len(networks)))]
    build, inputs = networks[name]
    with quiet():
        torch.manual_seed(seed)
        net = lived_in(build().eval(), seed)
        reference, form = _reference(net, inputs, folder, rng)
        made = Blind(seed, name, reference, None, [each.numpy() for each in inputs], [form, "|"])
        draws = _in_torch if rng.random() < 0.15 and not tools else _through_files
        drawn = [*draws(made, net, inputs, folder, rng, kinds=kinds, tools=tools)]
    yield from drawn


def _chain(rng: np.random.Generator) -> list[str]:
    if LITE and rng.random() < 0.25:
        return [[*LITE][int(rng.random() < 0.25)]]
    names = [*TOOLS]
    chain = [names[int(rng.integers(len(names)))] for _ in range(int(rng.integers(1, 4)))]
    return [*chain, [*FEWER_BITS][int(rng.integers(len(FEWER_BITS)))]] if rng.random() < 0.2 else chain


def _reference(net: nn.Module, inputs: Inputs, folder: Path, rng: np.random.Generator) -> tuple[Any, str]:
    names = [*REFERENCES]
    form = "live" if rng.random() < 0.4 else names[int(rng.integers(len(names)))]
    try:
        return REFERENCES[form](net, inputs, folder / "reference", rng), form
    except Exception:  # noqa: BLE001 - not every network can be scripted or exported
        return net, "live"


def lived_in(net: nn.Module, seed: int) -> nn.Module:
    """Weights of some size, and norms and biases as training leaves them."""
    draw = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            module.running_mean = torch.randn(module.running_mean.shape, generator=draw) * 0.2
            module.running_var = 0.5 + torch.rand(module.running_var.shape, generator=draw)
    with torch.no_grad():
        for tensor in net.parameters():
            noise = torch.randn(tensor.shape, generator=draw)
            if tensor.ndim < 2:
                tensor += 0.1 * noise
            elif tensor.numel() > 1 and tensor.std() < 0.5 / (fan := tensor[0].numel()) ** 0.5:
                tensor += noise / fan**0.5
    return net


def _outputs(net: nn.Module, inputs: Inputs) -> list[Array]:
    with torch.no_grad():
        got = net(*inputs)
    return [each.numpy() for each in (got if isinstance(got, tuple) else (got,))]


def _in_torch(
    made: Blind,
    net: nn.Module,
    inputs: Inputs,
    folder: Path,
    rng: np.random.Generator,
    *,
    kinds: Sequence[bool],
    tools: Sequence[str],  # noqa: ARG001
) -> Iterator[Blind]:
    form = [*TORCH][int(rng.integers(len(TORCH)))]
    made.steps.append(form)
    for faulty in kinds:
        one, broken = replace(made), net
        for _ in range(ATTEMPTS if faulty else 0):
            planted = plant(net, inputs, rng)
            if planted is not None and _apart(_outputs(net, inputs), _outputs(planted.net, inputs)) > SHOWS:
                broken, one.fault, one.detail = planted.net, planted.fault, planted.detail
                (one.wrong, *one.later), (one.made, *one.then) = planted.wrong, planted.made
                break
        try:
            one.candidate = TORCH[form](broken, inputs, folder / f"candidate-{faulty}", rng)
        except Exception:  # noqa: BLE001 - not every network can be scripted or exported
            return
        if faulty == (broken is not net):
            yield one


def _through_files(
    made: Blind,
    net: nn.Module,
    inputs: Inputs,
    folder: Path,
    rng: np.random.Generator,
    *,
    kinds: Sequence[bool],
    tools: Sequence[str],
) -> Iterator[Blind]:
    source = "by_dynamo" if rng.random() < BY_DYNAMO else "by_trace"
    try:
        path = SOURCES[source](net, inputs, folder / "source", rng)
    except Exception:  # noqa: BLE001 - an exporter that fails makes no pair
        return
    chain = list(tools) or _chain(rng)
    made.steps += [source, *chain]
    made.precise = not set(chain) & {*FEWER_BITS}
    feeds = dict(zip(named(inputs), made.inputs, strict=True))
    seeds = [int(rng.integers(2**31)) for _ in chain]
    made.candidate = clean = _converted(path, chain, seeds, feeds, path.parent / "clean")
    if clean is None:
        return
    lite = clean.suffix == ".tflite"
    off = 0.0 if lite else _apart(_outputs(net, inputs), _run(clean, feeds))
    if made.precise and off > KEPT:
        return
    if False in kinds:
        yield replace(made)
    if True in kinds:
        after = rng.random() < 0.5 and not lite
        start, least = clean if after else path, max(SHOWS, PAST_FEWER_BITS * off)
        planted = _planted(made, start, chain, seeds, feeds, rng, least=least, after=after)
        if planted is not None:
            yield planted


def _planted(
    made: Blind,
    path: Path,
    chain: Sequence[str],
    seeds: Sequence[int],
    feeds: dict[str, Array],
    rng: np.random.Generator,
    *,
    least: float,
    after: bool,
) -> Blind | None:
    import onnx

    try:
        plain = from_proto(onnx.load(path), feeds)
        wanted = run(plain)
        sound = _run(made.candidate, feeds) if made.candidate.suffix == ".onnx" else []
    except Exception:  # noqa: BLE001 - functions, or graphs in graphs, are not edited
        return None
    for _ in range(ATTEMPTS):
        kind = [*FAULTS][int(rng.integers(len(FAULTS)))]
        graph = plain.copy()
        try:
            planted = FAULTS[kind](graph, rng)
            if planted is None:
                continue
            graph.prune()
            graph.changed()
            got = run(graph)
            if _apart([*wanted.values()], [got[name] for name in wanted]) <= least:
                continue
            target = path.with_name("faulty.onnx")
            target.write_bytes(to_proto(graph).SerializeToString())
            candidate = target if after else _converted(target, chain, seeds, feeds, path.parent / "converted")
        except Exception:  # noqa: BLE001 - a fault that makes no valid model is no case
            continue
        shown = SHOWS if candidate is None or candidate.suffix == ".tflite" else _apart(sound, _run(candidate, feeds))
        if candidate is None or shown < least:  # a tool may take a fault away again
            continue
        made.candidate, made.fault = candidate, kind
        made.detail = f"{'after' if after else 'before'}: {planted.detail}"
        made.guilty = frozenset(planted.nodes if after or "renamed" not in chain else ())
        made.wrong = [plain.values[name] for name in planted.tensors]
        names = {out for node in graph.nodes if node.name in planted.nodes for out in node.outputs}
        made.made = [graph.values[name] for name in names if name in graph.values]
        made.later = _downstream(plain, planted.tensors or _behind(plain, graph, planted.nodes))
        made.then = _downstream(graph, [*names])
        return made
    return None


def _behind(plain: Any, graph: Any, nodes: Sequence[str]) -> tuple[str, ...]:
    """What inserted nodes stand behind: tensors that both graphs have and that they read."""
    read = {name for node in graph.nodes if node.name in nodes for name in node.inputs}
    return tuple(name for name in read if plain.computed(name))


def _downstream(graph: Any, names: Sequence[str]) -> list[list[Array]]:
    """The values computed from some, a step further each."""
    steps, edge, seen = [], list(names), set(names)
    while edge and len(steps) < 12:
        fresh = [out for name in edge for node in graph.readers(name) for out in node.outputs if out not in seen]
        seen.update(fresh)
        edge = list(dict.fromkeys(fresh))
        steps.append([graph.values[name] for name in edge if name in graph.values])
    return steps


def _converted(path: Path, chain: Sequence[str], seeds: Sequence[int], feeds: Any, stem: Path) -> Path | None:
    """A file through all tools; None where one fails or writes what does not run."""
    for place, (name, seed) in enumerate(zip(chain, seeds, strict=True)):
        target = stem.with_name(f"{stem.name}-{place}.onnx")
        made = through(name, path, target, feeds, np.random.default_rng(seed))
        if made is None or (made.suffix == ".onnx" and _run(made, feeds) is None):
            return None
        path = made
    return path


def _run(path: Path, feeds: dict[str, Array]) -> list[Array] | None:
    """A file's outputs; by its path, since onnxruntime sees less of weights that lie beside it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        used = {each.name for each in session.get_inputs()}
        return [*session.run(None, {name: array for name, array in feeds.items() if name in used})]
    except Exception:  # noqa: BLE001 - onnxruntime refuses what some tools write
        return None


def _apart(wanted: Sequence[Array], got: Sequence[Array] | None) -> float:
    """The largest difference of any output in parts of its peak; infinite where shapes or places of NaN differ."""
    if got is None or len(wanted) != len(got):
        return float("inf")
    worst = 0.0
    for one, other in zip(wanted, got, strict=True):
        if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return float("inf")
        seen = np.isfinite(one)
        if seen.any():
            wide = one[seen].astype(np.float64)
            worst = max(worst, float(np.abs(other[seen] - wide).max() / max(np.abs(wide).max(), 1e-30)))
    return worst
