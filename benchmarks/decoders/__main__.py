"""Decoders of transformers, eager against ONNX with caches, step by step: clean, and with a fault each.

python -m benchmarks.decoders [--only NAME …] [--exporter legacy|dynamo] [--attention eager|sdpa] [--work FOLDER]

Prints a line for each case: whether the verdict, the first wrong step, the layer and the node are right.
"""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

import aligner
from aligner.errors import AlignerError
from aligner.records.comparison import Comparison
from benchmarks.decoders.families import FAMILIES, Flat, export, made
from benchmarks.decoders.faults import FAULTS, Truth

_TOKENS = np.array([[5, 17, 33, 9, 41, 12, 7]])
_STEPS = 2


@dataclass(frozen=True, slots=True)
class Score:
    """What of the answer was right; ``said``: the answer."""

    verdict: bool
    step: bool
    layer: bool
    node: bool
    said: str


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="A part of a case's name (llama.rotary-base); repeatable.")
@click.option("--exporter", type=click.Choice(["legacy", "dynamo"]), default="legacy", show_default=True)
@click.option("--attention", type=click.Choice(["eager", "sdpa"]), default="eager", show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/decoders"), show_default=True)
def main(only: tuple[str, ...], exporter: str, attention: str, work: Path) -> None:
    """Export what is not exported yet, compare, score."""
    warnings.simplefilter("ignore")
    folder = work / f"{exporter}-{attention}"
    folder.mkdir(parents=True, exist_ok=True)
    scores: dict[bool, list[Score]] = {True: [], False: []}
    for family in FAMILIES:
        for fault in ("", *FAULTS):
            name = f"{family}.{fault or 'clean'}"
            if (fault and not _has(family, fault)) or (only and not any(word in name for word in only)):
                continue
            start = time.perf_counter()
            score = _scored(family, fault, folder / f"{name}.onnx", exporter == "dynamo", attention)
            if score is not None:
                scores[not fault].append(score)
            print(f"{name:36} {_line(score)}  {time.perf_counter() - start:.0f} s", flush=True)
    print(f"\nclean: {_right(scores[True], 'verdict')} aligned")
    words = (f"{word} {_right(scores[False], word)}" for word in ("verdict", "step", "layer", "node"))
    print(f"faults: {', '.join(words)}")


def _has(family: str, fault: str) -> bool:
    families = FAULTS[fault].families
    return not families or family in families


def _scored(family: str, fault: str, path: Path, dynamo: bool, attention: str) -> Score | None:
    """None where the exporter refuses the model."""
    if not path.exists():
        flat = Flat(made(family, attention))
        if fault:
            FAULTS[fault].plant(flat)
        try:
            export(flat, path, dynamo=dynamo)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises
            print(f"{family}: not exported: {' '.join(str(error).split())[:100]}")
            return None
    try:
        found = aligner.compare(made(family, attention), path, _TOKENS, steps=_STEPS).comparison
    except AlignerError as error:
        return Score(False, False, False, False, f"{type(error).__name__}: {error}".splitlines()[0])
    return _judged(found, FAULTS[fault].truth if fault else None)


def _judged(found: Comparison, truth: Truth | None) -> Score:
    first, last = found.first_divergence, found.steps[-1]
    if truth is None or first is None:
        right = found.verdict == "aligned" and truth is None
        return Score(right, right, right, right, f"{found.verdict}: {found.reason}" if not right else found.verdict)
    node = f"{first.reference.node} {first.reference.op} {first.candidate.node} {first.candidate.op}"
    layer = truth.layer is None or bool(last.layer and last.layer.endswith(f".{truth.layer}"))
    said = f"{found.verdict}, step {last.index}, {last.layer}, {first.candidate.node}"
    return Score(found.verdict == "diverged", last.index == truth.step, layer, bool(re.search(truth.word, node)), said)


def _line(score: Score | None) -> str:
    if score is None:
        return "not exported"
    wrong = [word for word in ("verdict", "step", "layer", "node") if not getattr(score, word)]
    return f"{'WRONG ' + ', '.join(wrong) if wrong else 'right'}  {score.said}"


def _right(scores: list[Score], word: str) -> str:
    return f"{sum(getattr(score, word) for score in scores)} of {len(scores)}"


if __name__ == "__main__":
    main()
