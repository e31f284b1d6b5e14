"""Measure the pairing on clean pairs of models across forms, and on versions with a planted fault.

python -m benchmarks.alignment [--quick] [--only resnet,vit] [--faults 4] [--work build/alignment] [--table FILE]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from benchmarks.alignment.faulted import UNLOADED, Moved, faulted, seeds_of
from benchmarks.alignment.pairing import Pairing, pairing
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.deployed import missing
from benchmarks.faults.forms import EAGER, build_form
from benchmarks.faults.keras_forms import keras_form
from benchmarks.faults.keras_networks import KERAS_NETWORKS

FORMS = (EAGER, "trace", "script", "onnx", "folded", "dynamo", "slim")
QUICK = ((EAGER, "folded"), ("trace", "dynamo"))
FAULTED = (EAGER, "folded")
ACCEPTED = 0.97


@click.command()
@click.option("--quick", is_flag=True, help="Two pairs of forms for each architecture instead of all.")
@click.option("--only", default="", help="Architectures, separated by commas.")
@click.option(
    "--faults", default=4, show_default=True, help="Faults planted in each architecture, besides fresh weights."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/alignment"), show_default=True)
@click.option("--table", type=click.File("w", encoding="utf-8"), help="Write the tables as Markdown.")
def main(quick: bool, only: str, faults: int, seed: int, work: Path, table: TextIO | None) -> None:
    """Print a line for each pair of models, then the sums."""
    warnings.simplefilter("ignore")
    names = [name for name in only.split(",") if name] or [*ARCHITECTURES, "keras"]
    clean: dict[str, list[Pairing]] = {}
    planted: dict[str, list[Moved]] = {}
    for name in names:
        if name == "keras":
            for network, found in _keras(work, seed):
                clean.setdefault(network, []).append(found)
            continue
        forms = [*_forms(name)]
        for left, right in QUICK if quick else [(a, b) for a in forms for b in forms if a != b and b != EAGER]:
            targets = [_target(name, form, work, seed) for form in (left, right)]
            found = _measured(f"{name} {left} → {right}", *targets, seeds_of(name, seed))
            if found is not None:
                clean.setdefault(name, []).append(found)
                if (left, right) == FAULTED and faults:
                    planted[name] = list(_planted(name, found, work, faults, seed))
    _print_sums(clean, planted, sys.stdout)
    if table is not None:
        _print_sums(clean, planted, table)


def _forms(name: str) -> Iterator[str]:
    architecture = ARCHITECTURES[name]
    for form in FORMS:
        if form not in architecture.lacks and (form != "script" or architecture.scriptable):
            yield form


def _target(name: str, form: str, work: Path, seed: int) -> Any:
    if form == EAGER:
        return ARCHITECTURES[name].module(seed)
    return str(build_form(name, form, work / "forms", seed))


def _keras(work: Path, seed: int) -> Iterator[tuple[str, Pairing]]:
    """(network, pairing) of TFLite and tf2onnx's ONNX, both ways."""
    why = missing("tf2onnx")
    if why is not None:
        print(f"keras: not built, {why}")
        return
    for name, network in KERAS_NETWORKS.items():
        for left, right in (("tflite", "tf2onnx"), ("tf2onnx", "tflite")):
            files = [str(keras_form(name, form, work / "forms", seed)) for form in (left, right)]
            found = _measured(f"{name} {left} → {right}", *files, network.feeds(seed + 1))
            if found is not None:
                yield f"{name} (TFLite, tf2onnx)", found


def _measured(label: str, reference: Any, candidate: Any, feeds: Any) -> Pairing | None:
    from aligner.errors import AlignerError

    try:
        found = pairing(reference, candidate, feeds)
    except AlignerError as error:
        print(f"{label:36} {error.what}")
        return None
    share = found.found / max(len(found.pairable), 1)
    print(
        f"{label:36} pairable {len(found.pairable):4} paired {share:7.2%}  pairs {len(found.pairs):4} "
        f"wrong {len(found.wrong):2}  lowest {found.lowest:.2f}  {found.seconds:.2f} s",
        flush=True,
    )
    if share < ACCEPTED:
        _list("missed", found.missed)
    _list("wrong", found.wrong)
    return found


def _planted(name: str, clean: Pairing, work: Path, faults: int, seed: int) -> Iterator[Moved]:
    reference, file = _target(name, FAULTED[0], work, seed), Path(_target(name, FAULTED[1], work, seed))
    folder = work / "faulted"
    folder.mkdir(parents=True, exist_ok=True)
    for moved in faulted(name, reference, file, clean, seeds_of(name, seed), folder, faults, seed):
        print(f"    {moved.fault:60.60} kept {moved.kept} of {moved.outside}", flush=True)
        _list("moved", moved.lost)
        yield moved


def _list(word: str, lines: Sequence[str]) -> None:
    for line in lines[:6]:
        print(f"        {word}: {line}")
    if len(lines) > 6:
        print(f"        {word}: {len(lines) - 6} more")


def _print_sums(clean: dict[str, list[Pairing]], planted: dict[str, list[Moved]], target: TextIO) -> None:
    heads = ("model", "pairs of forms", "pairable", "paired", "least", "pairs made", "right", "alignment, s")
    rows = [_row(name, found) for name, found in clean.items() if found]
    rows.append(_row("all", [found for each in clean.values() for found in each]))
    _markdown(heads, rows, target)
    if planted:
        rows = [_planted_row(name, moved) for name, moved in planted.items()]
        rows.append(_planted_row("all", [moved for each in planted.values() for moved in each]))
        heads = (
            "model",
            "faults",
            "pairs outside their regions",
            "unchanged",
            "weights drawn anew: pairs",
            "unchanged",
        )
        _markdown(heads, rows, target)


def _row(name: str, found: Sequence[Pairing]) -> tuple[str, ...]:
    pairable, paired = sum(len(one.pairable) for one in found), sum(one.found for one in found)
    made, wrong = sum(len(one.pairs) for one in found), sum(len(one.wrong) for one in found)
    least = min((one.found / max(len(one.pairable), 1) for one in found), default=1.0)
    slowest = max((one.seconds for one in found), default=0.0)
    numbers = (f"{paired / max(pairable, 1):.2%}", f"{least:.2%}", f"{made:,}", f"{1 - wrong / max(made, 1):.2%}")
    return (name, str(len(found)), f"{pairable:,}", *numbers, f"≤ {slowest:.2f}")


def _planted_row(name: str, moved: Sequence[Moved]) -> tuple[str, ...]:
    parts = [[one for one in moved if (one.fault == UNLOADED) == fresh] for fresh in (False, True)]
    cells = [str(len(parts[0]))]
    for part in parts:
        outside, kept = sum(one.outside for one in part), sum(one.kept for one in part)
        cells += [f"{outside:,}", f"{kept / max(outside, 1):.2%}"]
    return (name, *cells)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], target: TextIO) -> None:
    print(file=target)
    for row in (heads, ["---"] * len(heads), *rows):
        print("| " + " | ".join(row) + " |", file=target)


if __name__ == "__main__":
    main()
