"""What a diverged comparison costs beside the aligned one of the same pair, in CPU seconds of this process.

python -m benchmarks.speed.diverged [REFERENCE:]CANDIDATE.onnx … [--input X.npy] [--repeat 2] [--phases]
python -m benchmarks.speed.diverged --live eager --live keras

Each candidate is compared as it is, and with one fault: a channel of a weight scaled, an activation lost, a tensor
clipped, a bias of a layer zeroed, each near a third and two thirds of the way down. Either is a file of its own, whose
weights are read for themselves. ``--live`` does the same with ten residual blocks that are no file, or were none
(``blocks.py``). Goal: at most twice.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import onnx
from onnx import helper, numpy_helper

import aligner
from benchmarks.speed import blocks
from benchmarks.speed.blocks import FORMS

GOAL = 2.0
_LIMITS_ARE_INPUTS = 11
"""ONNX operator set from which a Clip reads its limits."""
Plant = Callable[[onnx.ModelProto, float], bool]


@click.command()
@click.argument("pairs", nargs=-1)
@click.option("--live", type=click.Choice(list(FORMS)), multiple=True, help="Ten residual blocks in this form.")
@click.option("--repeat", default=2, show_default=True, help="Runs of each comparison; the fastest is told.")
@click.option("--input", "given", type=click.Path(path_type=Path), help="Their input; else random numbers.")
@click.option("--phases", is_flag=True, help="Also the phases that grew, in wall seconds.")
def main(pairs: tuple[str, ...], live: tuple[str, ...], repeat: int, given: Path | None, phases: bool) -> None:
    """Print one line for each pair, then the median and the worst."""
    ratios: list[float] = []
    with TemporaryDirectory() as folder:
        for pair in pairs:
            *references, path = map(Path, pair.split(":"))
            sound = Path(folder) / f"{path.stem}-sound.onnx"
            onnx.save(onnx.load(path), sound)
            reference = references[0] if references else path
            ratios += _ratios(path.stem, reference, sound, _candidates(path, Path(folder)), given, repeat, phases)
        for form in live:
            reference, sound, wrong, picture = blocks.pairs(form, Path(folder))
            ratios += _ratios(form, reference, sound, wrong, picture, repeat, phases)
    if ratios:
        worst = max(ratios)
        print(f"{len(ratios)} pairs: median {statistics.median(ratios):.2f}, worst {worst:.2f}, goal {GOAL:g}")


def _ratios(name, reference, sound, candidates, given, repeat, phases) -> Iterator[float]:
    _cost(reference, sound, given, 1)  # what is imported and remembered once is no cost of either
    aligned, before = _cost(reference, sound, given, repeat)
    if before.verdict != "aligned":
        raise click.ClickException(f"{name} is {before.verdict} without a fault: {before.comparison.reason}")
    for told, candidate in candidates:
        cost, result = _cost(reference, candidate, given, repeat)
        if result.verdict != "diverged":
            print(f"{name}, {told}: {result.verdict}, left out")
            continue
        times = cost / aligned
        print(f"{name}, {told}: {aligned:.2f} s aligned, {cost:.2f} s diverged, {times:.2f} ×", flush=True)
        if phases:
            print(f"    {_grown(before.comparison.timing, result.comparison.timing)}")
        yield times


def _grown(before, after) -> str:
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    first = sorted(grown, key=lambda name: -grown[name])[:8]
    return ", ".join(f"{name} +{grown[name]:.2f}" for name in first)


def _cost(reference, candidate, given, repeat: int):
    costs, result = [], None
    for _ in range(repeat):
        start = time.process_time()
        result = aligner.compare(reference, candidate, given)
        costs.append(time.process_time() - start)
    return min(costs), result


def _candidates(path: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for plant in (_scaled_channel, _lost_activation, _clipped, _zeroed_bias):
        for depth in (1 / 3, 2 / 3):
            model = onnx.load(path)
            if plant(model, depth):
                told = f"{plant.__name__.strip('_').replace('_', ' ')} at {depth:.0%}"
                file = folder / f"{path.stem}-{told.replace(' ', '-')}.onnx"
                onnx.save(model, file)
                yield told, file


def _near(model: onnx.ModelProto, depth: float, *ops: str) -> onnx.NodeProto | None:
    """The node of these operators that is nearest to a depth."""
    places = [place for place, node in enumerate(model.graph.node) if node.op_type in ops]
    wanted = depth * len(model.graph.node)
    return model.graph.node[min(places, key=lambda place: abs(place - wanted))] if places else None


def _edit(model: onnx.ModelProto, node: onnx.NodeProto | None, place: int, edit: Callable[[np.ndarray], None]) -> bool:
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    tensor = held.get(node.input[place]) if node is not None and len(node.input) > place else None
    if tensor is None:
        return False
    array = numpy_helper.to_array(tensor).copy()
    edit(array)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def _scaled_channel(model: onnx.ModelProto, depth: float) -> bool:
    def edit(array: np.ndarray) -> None:
        array[0] *= 1.5

    return _edit(model, _near(model, depth, "Conv"), 1, edit)


def _zeroed_bias(model: onnx.ModelProto, depth: float) -> bool:
    return _edit(model, _near(model, depth, "Conv", "Gemm"), 2, lambda array: array.fill(0))


def _lost_activation(model: onnx.ModelProto, depth: float) -> bool:
    node = _near(model, depth, "Relu", "PRelu", "LeakyRelu", "Sigmoid", "Tanh", "Erf", "HardSwish")
    if node is None:
        return False
    lost = helper.make_node("Identity", node.input[:1], node.output, name=node.name)
    node.CopyFrom(lost)
    return True


def _clipped(model: onnx.ModelProto, depth: float) -> bool:
    node = _near(model, depth, "Conv", "Gemm", "MatMul")
    if node is None or model.opset_import[0].version < _LIMITS_ARE_INPUTS:
        return False
    place = list(model.graph.node).index(node)
    name = node.output[0]
    node.output[0] = f"{name}/before"
    for limit, value in (("low", -0.1), ("high", 0.1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"{name}/{limit}"))
    clip = helper.make_node("Clip", [node.output[0], f"{name}/low", f"{name}/high"], [name], name=f"{name}/clip")
    model.graph.node.insert(place + 1, clip)
    return True


if __name__ == "__main__":
    main()
